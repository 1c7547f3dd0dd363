"""Seeded draws: single numbers and smooth random fields."""

import random
from collections.abc import Sequence as Items
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from brainmvp.phantom.grid import BrainGrid

Item = TypeVar("Item")


class Draw:
    """A stream of random numbers and fields; equal seeds give equal streams on one machine."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed
        self._numbers = random.Random(seed)
        self._fields = torch.Generator().manual_seed(self._numbers.getrandbits(62))

    def part(self, name: str) -> "Draw":
        """Return a stream of its own, whatever else has been drawn; equal names give equal ones."""
        return Draw(f"{self._seed} {name}")

    def uniform(self, low: float, high: float) -> float:
        return self._numbers.uniform(low, high)

    def log_uniform(self, low: float, high: float) -> float:
        return low * (high / low) ** self._numbers.random()

    def normal(self, sigma: float) -> float:
        return self._numbers.gauss(0.0, sigma)

    def integer(self, low: int, high: int) -> int:
        """Return an integer in low…high, both included."""
        return self._numbers.randint(low, high)

    def chance(self, probability: float) -> bool:
        return self._numbers.random() < probability

    def choice(self, items: Items[Item], weights: Items[float] | None = None) -> Item:
        return self._numbers.choices(items, weights)[0]

    def white(self, shape: tuple[int, ...]) -> Tensor:
        """Return independent standard normal values."""
        return torch.randn(shape, generator=self._fields)

    def smooth(self, grid: BrainGrid, scale_mm: float, count: int | None = None) -> Tensor:
        """Return a field (X, Y, Z), or `count` of them, of zero mean and unit variance that changes over scale_mm.

        Normal values on a coarse lattice, spread by cubic B-splines: one small matrix per axis.
        """
        matrices = [_spread(size, max(scale_mm / grid.spacing, 1.0)) for size in grid.shape]
        coarse = self.white((count or 1, *[matrix.shape[1] for matrix in matrices]))
        field = along_axes(coarse, matrices)
        return field if count else field[0]


def along_axes(field: Tensor, matrices: list[Tensor]) -> Tensor:
    """Apply one matrix (new, old) to each of the last three axes of a field (..., X, Y, Z)."""
    x, y, z = matrices
    field = torch.matmul(field, z.T)
    field = torch.matmul(y, field)
    lead = field.shape[:-3]
    flat = field.reshape(*lead, field.shape[-3], -1)
    return torch.matmul(x, flat).reshape(*lead, x.shape[0], *field.shape[-2:])


@lru_cache(maxsize=512)
def _spread(size: int, scale: float) -> Tensor:
    """Return the (size, lattice) weights of cubic B-splines `scale` voxels apart, rows of unit length."""
    count = int(size / scale) + 4
    position = (torch.arange(size) - (size - 1) / 2) / scale + (count - 1) / 2
    distance = (position[:, None] - torch.arange(count)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp_min(0) ** 3 / 6
    weights = torch.where(distance < 1, near, far)
    return weights / weights.norm(dim=1, keepdim=True)


def box_mean(field: Tensor, reach: int) -> Tensor:
    """Return the mean of a field (X, Y, Z) over a cube of `reach` voxels to every side, zero beyond the grid.

    One banded matrix per axis: many times faster on a CPU than torch's pooling.
    """
    return along_axes(field, [_box(size, reach) for size in field.shape])


@lru_cache(maxsize=128)
def _box(size: int, reach: int) -> Tensor:
    index = torch.arange(size)
    return ((index[:, None] - index).abs() <= reach).float() / (2 * reach + 1)
