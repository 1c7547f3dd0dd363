"""What a scanner does to the image: coils, blur, thick slices, movement, noise."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from brainmvp.phantom.draw import Draw, along_axes
from brainmvp.phantom.grid import BrainGrid
from brainmvp.sequences import Sequence

# The share of a study with thick slices that each sequence has them in, judged: T1 is often a volume beside them.
_THICK = {Sequence.T1: 0.35, Sequence.T1CE: 0.35, Sequence.MRA: 0.0}
_THICK_ELSE = 0.85


@dataclass(frozen=True)
class Slices:
    """Thick slices: across which axis, how far from each other and where the first one lies, mm."""

    axis: int
    thickness: float
    first: float

    @classmethod
    def drawn(cls, draw: Draw, difficulty: float) -> "Slices | None":
        """Return those of a study, mostly axial, or None for one of thin ones."""
        if not draw.chance(0.15 + 0.3 * difficulty):
            return None
        thickness = draw.uniform(3.0, 6.5)
        return cls(draw.choice((0, 1, 2), (0.1, 0.15, 0.75)), thickness, draw.uniform(0, thickness))

    def has(self, sequence: Sequence, draw: Draw) -> bool:
        """Return whether a sequence of the study was scanned so."""
        return draw.chance(_THICK.get(sequence, _THICK_ELSE))


def acquire(
    draw: Draw,
    grid: BrainGrid,
    image: Tensor,
    brain: Tensor,
    difficulty: float,
    *,
    scan: Draw,
    slices: Slices | None = None,
    shaded: bool = True,
    in_place: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the image (X, Y, Z) as scanned, zero outside the brain, and where it was scanned (X, Y, Z) bool.

    image: signal, 0 and above; brain: (X, Y, Z) bool; difficulty 0…1 scales how often and how strongly it suffers;
    scan: what two images of one scan have in common is drawn from this; slices: thick ones, spread out linearly as
    resampling does; shaded: by the coil, which cancels in a map made of several images; in_place: the head lies where
    the labels say, from which it may else have moved by a millimetre or two.
    """
    if shaded:
        image = image * torch.exp(_coil(draw, grid, difficulty))
    image = along_axes(image, _point_spread(scan, grid, slices, in_place))
    if scan.chance(0.06 * difficulty):
        image = _ghost(scan, image)
    covered = brain
    if scan.chance(0.04 * difficulty):
        covered = brain & _partial(scan, grid)
    level = image[brain].mean()
    image = _rician(draw, image, float(level) * draw.uniform(0.01, 0.04 + 0.03 * difficulty))
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


def _point_spread(draw: Draw, grid: BrainGrid, slices: Slices | None, in_place: bool) -> list[Tensor]:
    """Return one matrix per axis: blur of resolution, thick slices, and a shift from movement unless `in_place`."""
    width = round(draw.uniform(0.0, 1.0) / grid.spacing, 1)
    moved = draw.chance(0.15)
    shifts = [draw.normal(1.0) if moved else 0.0 for _ in range(3)]
    if in_place:  # drawn all the same: the rest of a phantom does not depend on it
        shifts = [0.0] * 3
    matrices = [
        _gaussian_matrix(size, width, round(shift / grid.spacing, 1))
        for size, shift in zip(grid.shape, shifts, strict=True)
    ]
    if slices:
        thick = _slices_matrix(
            grid.shape[slices.axis],
            round(slices.thickness / grid.spacing, 1),
            round(slices.first / grid.spacing, 1),
        )
        matrices[slices.axis] = matrices[slices.axis] @ thick
    return matrices


@lru_cache(maxsize=256)
def _slices_matrix(size: int, thickness: float, first: float) -> Tensor:
    """Return the (size, size) matrix that averages over slices, in voxels, and fills the space between their middles
    linearly."""
    index = torch.arange(size, dtype=torch.float32)[:, None]
    middles = torch.arange(first - 0.5, size - 0.5 + thickness, thickness)
    # How much of each voxel (from half a voxel below it to half above) each slice holds.
    low, high = middles - thickness / 2, middles + thickness / 2
    share = (torch.minimum(index + 0.5, high) - torch.maximum(index - 0.5, low)).clamp_min(0)
    held = share.sum(0).clamp_min(1e-6)
    near = (1 - (index - middles).abs() / thickness).clamp_min(0) * (share.sum(0) > 0)
    near = near / near.sum(1, keepdim=True).clamp_min(1e-6)
    return near @ (share / held).T


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
