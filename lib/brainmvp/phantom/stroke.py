"""Acute ischaemic strokes: large territories, patchy ones, showers of emboli, lacunes."""

from dataclasses import replace

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.contrast import Protocol, signal
from brainmvp.phantom.distractors import old_infarct
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid, Point, pick_points
from brainmvp.phantom.layers import Layer, add_ball, ellipsoid, soft
from brainmvp.phantom.materials import Material, infarct, mineral
from brainmvp.sequences import Sequence

INFARCT = 1

_KINDS = ("territory", "patchy", "cortical", "emboli", "lacune")
_KIND_WEIGHTS = (0.27, 0.15, 0.12, 0.34, 0.12)
# Those that could be taken for a tumour.
_LARGE_WEIGHTS = (0.50, 0.20, 0.18, 0.07, 0.05)
# Ratio of an infarct's DWI signal to grey matter's below which a reader would not call it.
_VISIBLE = 1.22
# The share of a voxel from which it is marked: an infarct stands out so much in DWI that readers include its edge.
_MARKED = 0.35


def grow(
    draw: Draw, grid: BrainGrid, tissue: Tensor, grey: Material, difficulty: float, *, large: bool = False
) -> tuple[list[Layer], Tensor]:
    """Return the layers of an acute stroke and its labels (X, Y, Z) uint8.

    tissue: (3, X, Y, Z); grey: this person's grey matter; difficulty 0…1 allows smaller lesions; large: more of whole
    territories, some days old with cortex that takes up the agent. Small lesions keep hard edges: blurred ones would
    vanish on the grid.
    """
    parenchyma = tissue[GREY] + tissue[WHITE]
    side = draw.choice((-1.0, 1.0))
    half = torch.sigmoid(grid.axes()[0] * side - 3.0 + 2.0 * draw.smooth(grid, 14.0))
    seeds = tissue[WHITE] * 0.6 + tissue[GREY] * 0.4
    one_side = pick_points(seeds * (half > 0.5), grid.spacing, [draw.uniform(0, 1)])[0]

    kind = draw.choice(_KINDS, _LARGE_WEIGHTS if large else _KIND_WEIGHTS)
    layers: list[Layer] = []
    if kind == "emboli":
        mask = _emboli(draw, grid, seeds, one_side, difficulty)
        if draw.chance(0.25):  # from the heart: several territories, both sides
            other = pick_points(seeds, grid.spacing, [draw.uniform(0, 1)])[0]
            mask = torch.maximum(mask, _emboli(draw, grid, seeds, other, difficulty))
    elif kind == "lacune":
        mask = _lacune(draw, grid, one_side, difficulty)
    else:
        radius = draw.log_uniform(14, 45) if large else draw.log_uniform(9, 38)
        mask = _territory(draw, grid, tissue, one_side, radius, kind) * half
        if draw.chance(0.3):
            mask = torch.maximum(mask, _emboli(draw, grid, seeds, one_side, difficulty))
    mask = mask * (parenchyma > 0.5) * (1 - tissue[CSF])

    material = _visible(draw, grey)
    layers.append(Layer(mask, material, draw.uniform(0.02, 0.12), draw.uniform(3, 8)))
    if large and draw.chance(0.3):
        layers.append(_enhancing_cortex(draw, grid, tissue, mask, material))
    if draw.chance(0.2):
        layers = old_infarct(draw, grid, tissue) + layers
    if kind in ("territory", "patchy") and draw.chance(0.12):
        layers.append(_bleeding(draw, grid, mask))
    return layers, (mask > _MARKED).to(torch.uint8) * INFARCT


def _visible(draw: Draw, grey: Material) -> Material:
    protocol = Protocol(Sequence.DWI, 6000.0, 85.0, b=1.0)
    material = infarct(draw, grey)
    while signal(material, protocol) < _VISIBLE * signal(grey, protocol):
        material = replace(material, t2=material.t2 * 1.1)
    return material


def _territory(
    draw: Draw, grid: BrainGrid, tissue: Tensor, centre: Point, radius: float, kind: str
) -> Tensor:
    surface = ellipsoid(draw, grid, centre, 0.4) - radius
    surface += radius * draw.uniform(0.08, 0.3) * draw.smooth(grid, max(0.6 * radius, 7.0))
    surface += draw.uniform(0.4, 1.6) * draw.smooth(grid, 5.0)
    mask = soft(surface, draw.uniform(0.8, 3.0))
    if kind == "patchy":
        field = draw.smooth(grid, draw.uniform(5, 10))
        mask = mask * soft((draw.uniform(-0.2, 0.9) - field) * 3.0, 1.0)
    if kind == "cortical":
        mask = mask * soft((0.45 - tissue[GREY]) * 6.0, 1.5)
    return mask


def _emboli(draw: Draw, grid: BrainGrid, seeds: Tensor, centre: Point, difficulty: float) -> Tensor:
    """Return specks with hard edges, radius 2 mm and more (1.4 mm at full difficulty)."""
    count = draw.integer(1, 8 + round(16 * difficulty))
    region = ellipsoid(draw, grid, centre) / draw.uniform(14, 40)
    weights = seeds * (region < 1)
    if weights.sum() < 1:
        weights = seeds
    distance = torch.full(grid.shape, 1e3)
    smallest = 2.1 - 0.7 * difficulty
    for point in pick_points(weights, grid.spacing, [draw.uniform(0, 1) for _ in range(count)]):
        add_ball(distance, draw, grid, point, draw.log_uniform(smallest, 5.5))
    return soft(distance, min(grid.spacing, 1.0))


def _lacune(draw: Draw, grid: BrainGrid, centre: Point, difficulty: float) -> Tensor:
    """Return one small deep infarct, moved half of the way to the middle of the brain."""
    distance = torch.full(grid.shape, 1e3)
    deep = tuple(0.5 * c for c in centre)
    add_ball(distance, draw, grid, deep, draw.log_uniform(3.0 - difficulty, 8.0))
    return soft(distance, min(grid.spacing, 1.0))


def _enhancing_cortex(draw: Draw, grid: BrainGrid, tissue: Tensor, mask: Tensor, material: Material) -> Layer:
    """Return the gyri of an infarct some days old, which take up the agent."""
    gyri = mask * tissue[GREY] * (0.7 + 0.5 * draw.smooth(grid, 14.0)).clamp(0, 1)
    enhancing = replace(material, agent=draw.uniform(0.1, 0.5))
    return Layer(gyri, enhancing, 0.1, only=frozenset({Sequence.T1CE}))


def _bleeding(draw: Draw, grid: BrainGrid, mask: Tensor) -> Layer:
    """Return petechiae within an infarct: dark spots that are still part of it."""
    spots = mask * soft((draw.uniform(1.3, 2.0) - draw.smooth(grid, 5.0)) * 3.0, 1.0)
    return Layer(spots * draw.uniform(0.4, 0.9), mineral(draw), 0.05)
