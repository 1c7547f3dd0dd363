"""Make one brain into another: affine and smooth warps, wide ventricles, the mass effect of a tumour."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.phantom.anatomy import CSF, Anatomy
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import EXTENT_MM, BrainGrid, Point

# The bodies of the lateral ventricles in the atlas, mm from the middle of the brain.
_VENTRICLES = ((-15.0, 8.0, 13.0), (15.0, 8.0, 13.0))
# What a brain, about an ellipsoid, keeps from the faces of the grid before it is bent, mm.
_MARGIN_MM = 4.0


@dataclass(frozen=True)
class Pull:
    """Tissue pushed away from a centre: `strength` of the distance at the centre, fading over `reach` mm."""

    centre: Point
    reach: float
    strength: float


class Warp:
    """Where each voxel of the phantom comes from in an anatomy."""

    def __init__(self, draw: Draw, grid: BrainGrid, anatomy: Anatomy, atrophy: float) -> None:
        """atrophy: 0 (none) to 1 (ventricles about twice as wide)."""
        self.grid = grid
        self._anatomy = anatomy
        matrix, self._shift = _affine(draw, anatomy.is_average)
        self._matrix = matrix / _fitting(grid, anatomy, matrix, self._shift)
        self._bend = draw.smooth(grid, 44.0, 3) * draw.uniform(0, 4) + draw.smooth(
            grid, 16.0, 3
        ) * draw.uniform(0, 1.6)
        self._pulls = [Pull(centre, 17.0, 0.55 * atrophy * draw.uniform(0.7, 1.0)) for centre in _VENTRICLES]

    def source(self) -> Tensor:
        """Return the position in the anatomy of every voxel, (3, X, Y, Z), mm from its middle, x from its fissure."""
        x, y, z = self.grid.axes()
        position = list(torch.broadcast_tensors(x, y, z))
        for pull in self._pulls:
            dx, dy, dz = x - pull.centre[0], y - pull.centre[1], z - pull.centre[2]
            # The Gaussian of a sum is a product: three short vectors instead of one exponential per voxel.
            fade = pull.strength * (_gaussian(dx, pull) * _gaussian(dy, pull) * _gaussian(dz, pull))
            position = [p - fade * d for p, d in zip(position, (dx, dy, dz), strict=True)]
        px, py, pz = position
        rows = [
            row[0] * px + row[1] * py + row[2] * pz + shift
            for row, shift in zip(self._matrix.tolist(), self._shift, strict=True)
        ]
        return torch.stack(rows) + self._bend

    def destination(self, point: Point) -> Point:
        """Return about where a point of the anatomy, mm from its middle, comes to lie (the affine part only)."""
        x, y, z = point
        point = (x - self._anatomy.fissure.at(y, z), y, z)
        moved = torch.linalg.solve(self._matrix, torch.tensor(point) - torch.tensor(self._shift))
        return tuple(moved.tolist())

    def push(self, pull: Pull) -> None:
        """Add the mass effect of a lesion."""
        self._pulls.append(pull)

    def apply(self, channels: Tensor, source: Tensor) -> Tensor:
        """Return channels (C, x, y, z) of the anatomy on the phantom's grid, (C, X, Y, Z), linear.

        source: what `source` returns.
        """
        half = torch.tensor(channels.shape[1:]) * self._anatomy.spacing / 2
        x, y, z = source
        position = torch.stack([x + self._anatomy.fissure.at(y, z), y, z])
        normalised = position / half[:, None, None, None]
        # grid_sample wants the last axis first.
        where = normalised.flip(0).permute(1, 2, 3, 0)[None]
        return functional.grid_sample(channels[None], where, align_corners=False)[0]


def _gaussian(distance: Tensor, pull: Pull) -> Tensor:
    return torch.exp(-((distance / pull.reach) ** 2))


def _affine(draw: Draw, is_average: bool) -> tuple[Tensor, list[float]]:
    """Return the inverse of a random rotation, scaling and shear, and a shift in mm."""
    turn = _rotation([math.radians(draw.normal(6.0)) for _ in range(3)])
    # The MNI152 average is larger than most brains.
    whole = draw.uniform(0.86, 1.0) if is_average else draw.uniform(0.92, 1.07)
    scale = torch.diag(torch.tensor([1 / (whole * draw.uniform(0.93, 1.06)) for _ in range(3)]))
    if draw.chance(0.5):
        scale[0] *= -1
    shear = torch.eye(3) + torch.tensor([[draw.normal(0.02) for _ in range(3)] for _ in range(3)])
    return scale @ turn @ shear, [draw.normal(2.0) for _ in range(3)]


def _fitting(grid: BrainGrid, anatomy: Anatomy, matrix: Tensor, shift: list[float]) -> float:
    """Return the factor, 1 at most, by which a brain that is warped so has to shrink to lie within the grid."""
    forth = torch.linalg.inv(matrix)
    half = torch.tensor(anatomy.tissue.shape[1:]) * anatomy.spacing / 2
    reach = ((forth * half) ** 2).sum(1).sqrt() + (forth @ torch.tensor(shift)).abs()
    room = torch.tensor(EXTENT_MM) / 2 - _MARGIN_MM
    return float((room / reach).amin().clamp_max(1.0))


def _rotation(angles: list[float]) -> Tensor:
    result = torch.eye(3)
    for axis, angle in enumerate(angles):
        turn = torch.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        result = result @ turn
    return result


def shrunken(tissue: Tensor, atrophy: float) -> Tensor:
    """Return a person's tissue fractions (3, X, Y, Z) with wider sulci: atrophy 0 (as they are) to 1 (a tenth of CSF in
    a voxel becomes a third)."""
    odds = tissue.clone()
    odds[CSF] *= math.exp(1.5 * atrophy)
    return odds / odds.sum(0).clamp_min(1e-4) * tissue.sum(0)


def individual_tissue(tissue: Tensor, draw: Draw, grid: BrainGrid, atrophy: float) -> Tensor:
    """Turn a population's tissue fractions (3, X, Y, Z) into those of one person.

    Averages are blurred; noise decides where each tissue wins and a power sharpens. Atrophy widens the CSF spaces.
    """
    brain = tissue.sum(0).clamp(0, 1)
    amount = draw.uniform(0.1, 0.4)
    odds = tissue * torch.exp(amount * draw.smooth(grid, draw.uniform(5, 9), 3))
    odds[CSF] *= math.exp(draw.uniform(-0.8, 0.4) + atrophy)
    odds = odds.clamp_min(0) ** draw.uniform(1.5, 3.0)
    return odds / odds.sum(0).clamp_min(1e-4) * brain
