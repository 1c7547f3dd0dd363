"""The box of voxels that a phantom is made on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Holds an adult brain (about 145 x 180 x 150 mm) with a margin, and is 80 x 96 x 80 voxels at 2 mm.
EXTENT_MM = (160.0, 192.0, 160.0)

Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class BrainGrid:
    """Isotropic RAS voxels around the middle of the brain; spacing in mm."""

    spacing: float = 2.0

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = (round(extent / self.spacing) for extent in EXTENT_MM)
        return x, y, z

    @property
    def affine(self) -> np.ndarray:
        """Voxel index to RAS millimetres, (4, 4); the world's origin is the middle of the box."""
        affine = np.diag([self.spacing, self.spacing, self.spacing, 1.0])
        affine[:3, 3] = -self.spacing * (np.array(self.shape) - 1) / 2
        return affine

    def axes(self, box: Box = (slice(None),) * 3) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mm coordinates of a box's voxels along each axis, shaped so that they broadcast to (X, Y, Z)."""
        x, y, z = (
            self.spacing * (torch.arange(size, dtype=torch.float32)[part] - (size - 1) / 2)
            for size, part in zip(self.shape, box, strict=True)
        )
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def box(self, centre: Point, radius: float) -> Box:
        """Return the voxels within `radius` mm of a point along each axis."""
        slices = []
        for size, middle in zip(self.shape, centre, strict=True):
            index = middle / self.spacing + (size - 1) / 2
            reach = radius / self.spacing
            slices.append(slice(max(int(index - reach), 0), max(min(int(index + reach) + 2, size), 0)))
        return slices[0], slices[1], slices[2]


def pick_points(weights: Tensor, spacing: float, uniforms: list[float]) -> list[Point]:
    """Return one voxel per number of 0…1, chosen in proportion to the weights (X, Y, Z); mm from the middle."""
    cumulative = torch.cumsum(weights.flatten().double(), 0)
    chosen = torch.searchsorted(cumulative, torch.tensor(uniforms).double() * cumulative[-1])
    indices = np.unravel_index(chosen.clamp_max(weights.numel() - 1).numpy(), weights.shape)
    middle = (np.array(weights.shape)[:, None] - 1) / 2
    return [tuple(point) for point in (spacing * (np.stack(indices) - middle)).T.tolist()]
