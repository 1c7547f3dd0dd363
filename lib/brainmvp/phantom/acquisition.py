"""What a scanner does to the image: coils, blur, thick slices, movement, noise."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from brainmvp.phantom.draw import Draw, along_axes
from brainmvp.phantom.grid import BrainGrid


def acquire(
    draw: Draw, grid: BrainGrid, image: Tensor, brain: Tensor, difficulty: float, *, shaded: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the image (X, Y, Z) as scanned, zero outside the brain, and where it was scanned (X, Y, Z) bool.

    image: signal, 0 and above; brain: (X, Y, Z) bool; difficulty 0…1 scales how often and how strongly it suffers;
    shaded: by the coil, which cancels in a map made of several images.
    """
    if shaded:
        image = image * torch.exp(_coil(draw, grid, difficulty))
    image = along_axes(image, _point_spread(draw, grid, difficulty))
    if draw.chance(0.06 * difficulty):
        image = _ghost(draw, image)
    level = image[brain].mean()
    image = _rician(draw, image, float(level) * draw.uniform(0.01, 0.04 + 0.03 * difficulty))
    covered = brain
    if draw.chance(0.04 * difficulty):
        covered = brain & _partial(draw, grid)
    return image * covered, covered


def _coil(draw: Draw, grid: BrainGrid, difficulty: float) -> Tensor:
    """Return the logarithm of the coil's sensitivity (X, Y, Z): smooth, and often brighter towards one side.

    Without a correction, the posterior fossa of an echo-planar image may be half as bright again as the vertex.
    """
    field = draw.uniform(0, 0.2) * draw.smooth(grid, 70.0)
    if draw.chance(0.5 * difficulty):
        for axis in grid.axes():
            field = field + draw.normal(0.12) * axis / 60.0
        field = field + draw.uniform(0, 0.2) * draw.smooth(grid, 40.0)
    return field


def _point_spread(draw: Draw, grid: BrainGrid, difficulty: float) -> list[Tensor]:
    """Return one matrix per axis: blur of resolution, the average over a thick slice, and a shift from movement."""
    widths = [draw.uniform(0.0, 1.0)] * 3
    if draw.chance(0.06 + 0.16 * difficulty):
        axis = draw.choice((0, 1, 2), (0.15, 0.2, 0.65))
        thickness = draw.uniform(3.0, 6.5)
        # A box of this width has this standard deviation.
        widths[axis] = thickness / math.sqrt(12)
    moved = draw.chance(0.15)
    shifts = [draw.normal(1.0) if moved else 0.0 for _ in range(3)]
    return [
        _gaussian_matrix(size, round(width / grid.spacing, 1), round(shift / grid.spacing, 1))
        for size, width, shift in zip(grid.shape, widths, shifts, strict=True)
    ]


@lru_cache(maxsize=1024)
def _gaussian_matrix(size: int, sigma: float, shift: float) -> Tensor:
    """Return the (size, size) matrix of a Gaussian of `sigma` voxels around a point `shift` voxels away."""
    index = torch.arange(size, dtype=torch.float32)
    distance = index[:, None] + shift - index
    # Below half a voxel a Gaussian is no longer a good interpolator; linear weights are.
    linear = (1 - distance.abs()).clamp_min(0)
    weights = linear if sigma < 0.4 else torch.exp(-0.5 * (distance / sigma) ** 2)
    return weights / weights.sum(1, keepdim=True).clamp_min(1e-6)


def _ghost(draw: Draw, image: Tensor) -> Tensor:
    """Add faint copies along the phase-encoding axis, as a moving head leaves them."""
    axis = draw.choice((0, 1))
    copies = sum(image.roll(image.shape[axis] // parts, axis) for parts in (2, -4, 4))
    return image + draw.uniform(0.01, 0.05) * copies


def _rician(draw: Draw, image: Tensor, sigma: float) -> Tensor:
    """Add the noise of a magnitude image: Gaussian in both channels of the receiver."""
    real = image.addcmul(draw.white(image.shape), torch.tensor(sigma))
    imaginary = sigma * draw.white(image.shape)
    return torch.sqrt(real * real + imaginary * imaginary)


def _partial(draw: Draw, grid: BrainGrid) -> Tensor:
    """Return where a scan that misses the top or the bottom of the brain reaches."""
    z = grid.axes()[2]
    return z < draw.uniform(45, 65) if draw.chance(0.5) else z > draw.uniform(-60, -35)
