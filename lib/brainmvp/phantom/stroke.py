"""Acute ischaemic strokes: large territories, patchy ones, showers of emboli, lacunes."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.contrast import Protocol, signal
from brainmvp.phantom.distractors import old_infarct
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.falx import side_of
from brainmvp.phantom.grid import BrainGrid, Point, pick_points
from brainmvp.phantom.layers import Layer, add_ball, ellipsoid, soft
from brainmvp.phantom.materials import Material, infarct, mineral, subacute_infarct
from brainmvp.sequences import Sequence

INFARCT = 1

_KINDS = ("territory", "patchy", "cortical", "emboli", "lacune")
_KIND_WEIGHTS = (0.25, 0.14, 0.11, 0.34, 0.16)
# Those that could be taken for a tumour.
_LARGE_WEIGHTS = (0.50, 0.20, 0.18, 0.07, 0.05)
_SUBACUTE_WEIGHTS = (0.65, 0.15, 0.20, 0.0, 0.0)
# The share of lacunes in the brainstem, so that 6 % of strokes are there (the pons alone has 7 %, BMC Neurol 2019,
# doi:10.1186/s12883-019-1411-6); its middle and half of its widths, mm from the middle of the brain's box.
_IN_BRAINSTEM = 0.35
_BRAINSTEM, _BRAINSTEM_HALF = (0.0, -8.0, -42.0), (11.0, 9.0, 15.0)
# Ratio of an infarct's DWI signal to grey matter's below which a reader would not call it.
_VISIBLE = 1.22
# The share of a voxel from which it is marked: an infarct stands out so much in DWI that readers include its edge.
_MARKED = 0.35


def grow(
    draw: Draw,
    grid: BrainGrid,
    tissue: Tensor,
    anatomical: Tensor,
    grey: Material,
    difficulty: float,
    *,
    field: float = 0.0,
    large: bool = False,
    swollen: Point | None = None,
) -> tuple[list[Layer], Tensor, dict[str, Any]]:
    """Return the layers of an ischaemic stroke, its labels (X, Y, Z) uint8, and its facts: `kind` and `adc_ratio`, how
    many times grey matter's its ADC is, before this stroke's prominence in the images is drawn.

    tissue: (3, X, Y, Z); anatomical: (3, X, Y, Z), where each voxel comes from (see `Warp.source`); grey: this
    person's grey matter in a field of 0 (1.5 T) to 1 (3 T); difficulty 0…1 allows smaller lesions; large: more of whole
    territories; swollen: the centre of one some days old, mm, with cortex that takes up the agent. Small lesions keep
    hard edges: blurred ones would vanish on the grid.
    """
    parenchyma = tissue[GREY] + tissue[WHITE]
    seeds = tissue[WHITE] * 0.6 + tissue[GREY] * 0.4
    if swollen:
        one_side = swollen
        side = 1.0 if side_of(grid, anatomical, swollen) else -1.0
        weights = _SUBACUTE_WEIGHTS
    else:
        side = draw.choice((-1.0, 1.0))
        (one_side,) = pick_points(seeds * (anatomical[0] * side > 3.0), grid.spacing, [draw.uniform(0, 1)])
        weights = _LARGE_WEIGHTS if large else _KIND_WEIGHTS
    half = (anatomical[0] * side + 0.5).clamp(0, 1)

    kind = draw.choice(_KINDS, weights)
    layers: list[Layer] = []
    if kind == "emboli":
        mask = _emboli(draw, grid, seeds, one_side, difficulty)
        if draw.chance(0.25):  # from the heart: several territories, both sides
            other = pick_points(seeds, grid.spacing, [draw.uniform(0, 1)])[0]
            mask = torch.maximum(mask, _emboli(draw, grid, seeds, other, difficulty))
    elif kind == "lacune":
        mask = _lacune(draw, grid, _place_of_lacune(draw, grid, parenchyma, anatomical, one_side), difficulty)
    else:
        radius = draw.log_uniform(20, 50) if large else draw.log_uniform(9, 38)
        mask = _territory(draw, grid, tissue, half, one_side, radius, kind) * half
        if draw.chance(0.3):
            mask = torch.maximum(mask, _emboli(draw, grid, seeds, one_side, difficulty))
    mask = mask * (parenchyma > 0.5) * (1 - tissue[CSF])

    if swollen:
        material = _visible(subacute_infarct(draw, grey), grey)
    else:
        material = _visible(infarct(draw, grey, small=kind in ("emboli", "lacune")), grey)
    layers.append(Layer(mask, material, draw.uniform(0.02, 0.12), draw.uniform(3, 8), least_dwi=_VISIBLE))
    if swollen and draw.chance(0.75):
        layers.append(_enhancing_cortex(draw, grid, tissue, mask, material))
    if draw.chance(0.2):
        layers = [layer.at_field(field) for layer in old_infarct(draw, grid, tissue)] + layers
    if kind in ("territory", "patchy") and draw.chance(0.12):
        layers.append(_bleeding(draw, grid, mask).at_field(field))
    facts = {"kind": kind, "adc_ratio": material.adc / grey.adc}
    return layers, (mask > _MARKED).to(torch.uint8) * INFARCT, facts


def _visible(material: Material, grey: Material) -> Material:
    protocol = Protocol(Sequence.DWI, 6000.0, 85.0, b=1.0)
    while signal(material, protocol) < _VISIBLE * signal(grey, protocol):
        material = replace(material, t2=material.t2 * 1.1)
    return material


def _territory(
    draw: Draw, grid: BrainGrid, tissue: Tensor, half: Tensor, centre: Point, radius: float, kind: str
) -> Tensor:
    """Return what an artery feeds, or a part of it; half: 1 in its hemisphere; radius: about half of its depth, mm."""
    surface = _wedge(draw, grid, (tissue.sum(0) > 0.5) & (half > 0.5), centre, radius)
    surface += radius * draw.uniform(0.05, 0.2) * draw.smooth(grid, max(0.6 * radius, 7.0))
    surface += draw.uniform(0.4, 1.6) * draw.smooth(grid, 5.0)
    mask = soft(surface, draw.uniform(0.8, 3.0))
    if kind == "patchy":
        field = draw.smooth(grid, draw.uniform(5, 10))
        mask = mask * soft((draw.uniform(-0.2, 0.9) - field) * 3.0, 1.0)
    if kind == "cortical":
        mask = mask * soft((0.45 - tissue[GREY]) * 6.0, 1.5)
    return mask


def _wedge(draw: Draw, grid: BrainGrid, inside: Tensor, centre: Point, radius: float) -> Tensor:
    """Return the distance from the side of a cone that opens from the depth to the surface, mm, negative inside.

    inside: the hemisphere, (X, Y, Z) bool; centre: a point of it. Its angle is judged by eye.
    """
    deep = (math.copysign(draw.uniform(10, 25), centre[0]), draw.uniform(-10, 25), draw.uniform(-8, 12))
    away = torch.tensor(centre) - torch.tensor(deep)
    course = away / away.norm().clamp_min(1.0)
    ways = torch.arange(0.0, 100.0, grid.spacing)
    last = torch.tensor(grid.shape) - 1
    places = ((torch.tensor(centre) + ways[:, None] * course) / grid.spacing + last / 2).round().long()
    reached = ways[inside[tuple(places.clamp_min(0).minimum(last).T)]]
    depth = float(away.norm() + (reached.amax() if len(reached) else 0.0))
    back = depth - min(depth, radius * draw.uniform(1.2, 2.2))
    origin = torch.tensor(deep) + back * course
    angle = math.radians(draw.uniform(20.0, 50.0))
    parts = [axis - float(first) for axis, first in zip(grid.axes(), origin, strict=True)]
    along = sum(part * float(share) for part, share in zip(parts, course, strict=True))
    across = (sum(part * part for part in parts) - along * along).clamp_min(0).sqrt()
    return across * math.cos(angle) - along * math.sin(angle)


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


def _place_of_lacune(
    draw: Draw, grid: BrainGrid, parenchyma: Tensor, anatomical: Tensor, centre: Point
) -> Point:
    """Return a point of the brainstem, or one half of the way from `centre` to the middle of the brain."""
    if draw.chance(_IN_BRAINSTEM):
        offsets = [
            (axis - middle) / half
            for axis, middle, half in zip(anatomical, _BRAINSTEM, _BRAINSTEM_HALF, strict=True)
        ]
        weights = parenchyma * (sum(offset * offset for offset in offsets) < 1)
        if weights.sum() > 1:
            return pick_points(weights, grid.spacing, [draw.uniform(0, 1)])[0]
    return tuple(0.5 * c for c in centre)


def _lacune(draw: Draw, grid: BrainGrid, centre: Point, difficulty: float) -> Tensor:
    """Return one small deep infarct."""
    distance = torch.full(grid.shape, 1e3)
    add_ball(distance, draw, grid, centre, draw.log_uniform(3.0 - difficulty, 8.0))
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
