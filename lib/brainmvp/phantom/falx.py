"""The falx: what keeps a lesion in its hemisphere, and where the brain is one below it."""

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import CSF, WHITE
from brainmvp.phantom.grid import BrainGrid, Point

# Boxes that hold what joins the two sides, ((back, front), (low, high)) in mm from the middle of the brain, read off
# the middle plane of the ICBM 2009a atlas: corpus callosum; thalami to brainstem, and vermis.
_CALLOSUM = ((-28.0, 53.0), (-8.0, 29.0))
_LOW = (((-28.0, 21.0), (-80.0, 2.0)), ((-65.0, 5.0), (-80.0, -15.0)))
# How far from the middle plane a voxel tells what is there, mm.
_PLANE = 2.0
# The falx, mm; and what a millimetre beside a bridge adds to the way of what passes over it.
_CLOSED, _SLOPE = 1000.0, 5.0
# What has come as far as this to the other side has paid its whole toll, mm: less than half a voxel.
_PASSAGE = 0.5


def price_of_passing(
    grid: BrainGrid, tissue: Tensor, anatomical: Tensor, *, toll: float, callosum: bool
) -> Tensor:
    """Return what it costs to pass the middle plane at each of its places, mm (1, Y, Z).

    The toll where the two sides are one: what is below, by tissue without CSF; and, if open, the corpus callosum, by
    white matter. Elsewhere the falx is closed, or, if the callosum is open, the way grows steeply beside the bridges.
    tissue: (3, X, Y, Z); anatomical: (3, X, Y, Z), where each voxel lies in the undeformed brain: mm to the right of
    the fissure, and to the front of and above the middle of the brain.
    """
    near = torch.exp(-((anatomical[0] / _PLANE) ** 2))
    total = near.sum(0).clamp_min(1e-6)

    def in_the_middle(values: Tensor) -> Tensor:
        return (near * values).sum(0) / total

    y, z = in_the_middle(anatomical[1]), in_the_middle(anatomical[2])
    parenchyma = in_the_middle(tissue.sum(0)) - in_the_middle(tissue[CSF])
    bridges = torch.stack([_inside(y, front) & _inside(z, high) for front, high in _LOW]).any(0)
    bridges &= parenchyma > 0.75
    if callosum:
        white = in_the_middle(tissue[WHITE]) > 0.5
        bridges |= white & _inside(y, _CALLOSUM[0]) & _inside(z, _CALLOSUM[1])
    slope = _SLOPE if callosum else _CLOSED
    return (toll + slope * grid.spacing * _steps_from(bridges)).clamp_max(_CLOSED)[None]


def detour_around(anatomical: Tensor, right: bool, price: Tensor) -> Tensor:
    """Return how much further away the other side is than it looks, mm (X, Y, Z); 0 on one's own side.

    anatomical: as above; right: from which side one looks; price: of passing, mm (1, Y, Z).
    """
    beyond = (-anatomical[0] if right else anatomical[0]).clamp_min(0)
    return (beyond / _PASSAGE).clamp_max(1) * price


def side_of(grid: BrainGrid, anatomical: Tensor, point: Point) -> bool:
    """Return whether a point, mm, is on the right of the fissure."""
    voxel = (box.start for box in grid.box(point, 0.0))
    where = (min(index, size - 1) for index, size in zip(voxel, grid.shape, strict=True))
    return bool(anatomical[(0, *where)] >= 0)


def at_callosum(y: float, z: float) -> bool:
    """Return whether the corpus callosum ends beside such a point, mm from the middle of the brain."""
    (back, front), (low, high) = _CALLOSUM
    return back < y < front and low < z < high


def _inside(position: Tensor, limits: tuple[float, float]) -> Tensor:
    return (limits[0] < position) & (position < limits[1])


def _steps_from(places: Tensor) -> Tensor:
    """Return how many voxels each place of a plane (Y, Z) is from those given, along the axes; many if none are."""
    away = torch.where(places, 0.0, 1e4)
    for _ in range(2):  # along one axis, then along the other
        index = torch.arange(len(away))
        steps = (index[:, None] - index).abs().float()
        away = (steps[:, :, None] + away).amin(1).T
    return away
