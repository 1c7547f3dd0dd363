"""Lesions and distractors as layers laid over healthy tissue, and the shapes they are cut from."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid, Point
from brainmvp.phantom.materials import Material
from brainmvp.sequences import Sequence


@dataclass(frozen=True)
class Layer:
    """A material that takes the place of what lies under it.

    mask: (X, Y, Z), 0…1, the share of each voxel; texture: standard deviation of its signal over the distance of
    texture_mm, as a fraction of the signal; only: the sequences that show it (all where None); clear_on: those in which
    it is never faint (enhancing tumour is what enhances, an infarct what restricts diffusion); least_dwi: how many
    times as bright as grey matter it is in DWI at least.
    """

    mask: Tensor
    material: Material
    texture: float = 0.0
    texture_mm: float = 4.0
    only: frozenset[Sequence] | None = None
    clear_on: frozenset[Sequence] = frozenset({Sequence.T1CE, Sequence.DWI})
    least_dwi: float = 0.0

    def at_field(self, field: float) -> "Layer":
        """Return the layer in another field, 0 (1.5 T) to 1 (3 T)."""
        return replace(self, material=self.material.at_field(field))


def soft(distance_mm: Tensor, edge_mm: float) -> Tensor:
    """Return 1 inside (distance below 0), 0 outside, with a linear edge of this width."""
    return (0.5 - distance_mm / edge_mm).clamp(0, 1)


def ellipsoid(draw: Draw, grid: BrainGrid, centre: Point) -> Tensor:
    """Return the distance from a centre, mm, (X, Y, Z), stretched along random axes; its unit ball keeps its volume."""
    x, y, z = (axis - middle for axis, middle in zip(grid.axes(), centre, strict=True))
    a, b, c = (draw.uniform(0, 2 * math.pi) for _ in range(3))
    logs = [draw.uniform(-0.3, 0.3) for _ in range(3)]
    ratios = [math.exp(value - sum(logs) / 3) for value in logs]
    ca, sa, cb, sb, cc, sc = math.cos(a), math.sin(a), math.cos(b), math.sin(b), math.cos(c), math.sin(c)
    rows = (
        (ca * cb, ca * sb * sc - sa * cc, ca * sb * cc + sa * sc),
        (sa * cb, sa * sb * sc + ca * cc, sa * sb * cc - ca * sc),
        (-sb, cb * sc, cb * cc),
    )
    squared = torch.zeros(grid.shape)
    for row, ratio in zip(rows, ratios, strict=True):
        along = (row[0] / ratio) * x + (row[1] / ratio) * y + (row[2] / ratio) * z
        squared.addcmul_(along, along)
    return squared.sqrt_()


def add_ball(distance: Tensor, draw: Draw, grid: BrainGrid, centre: Point, radius: float) -> None:
    """Lower a signed distance field, in place, by one ellipsoid near the size of a ball; only its box is touched."""
    box = grid.box(centre, 2.5 * radius + 2 * grid.spacing)
    parts = [axis - middle for axis, middle in zip(grid.axes(box), centre, strict=True)]
    ratios = [draw.uniform(0.75, 1.3) for _ in range(3)]
    squared = sum((part / ratio) ** 2 for part, ratio in zip(parts, ratios, strict=True))
    distance[box] = torch.minimum(distance[box], squared.sqrt() - radius)
