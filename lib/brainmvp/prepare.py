"""From the files of a study to the tensor that a network sees, remembering the way back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainmvp.errors import BrainMVPError
from brainmvp.foreground import clean, foreground
from brainmvp.intensity import normalise
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, ras_grid, resample, resample_mask
from brainmvp.study import Study
from brainmvp.volume import Volume, read_volume

# (moving, reference) -> (4, 4) world of the reference to world of the moving image, mm.
Aligner = Callable[[Volume, Volume], np.ndarray]
# image -> (X, Y, Z) bool, where the brain is.
BrainExtractor = Callable[[Volume], np.ndarray]

# The head is found on a coarse copy first; finer detail does not move its bounding box.
_COARSE_MM = 3.0


@dataclass(frozen=True)
class Prepared:
    """A study on a working grid.

    images: (C, X, Y, Z) float32 normalised, RAS, isotropic, channels as asked for, zero where missing;
    brain: (X, Y, Z) bool; grid: the working grid; reference: the image whose grid the result has.
    """

    images: Tensor
    brain: np.ndarray
    grid: Grid
    reference: Volume
    reference_sequence: Sequence
    used: tuple[Sequence, ...]
    filled: tuple[Sequence, ...]


def same_world(moving: Volume, reference: Volume) -> np.ndarray:
    """Return the identity: the sequences of one session share the scanner's coordinates, or are registered already."""
    return np.eye(4)


def prepare(
    study: Study,
    sequences: tuple[Sequence, ...],
    reference: Sequence,
    spacing: float,
    align: Aligner = same_world,
    extract_brain: BrainExtractor = foreground,
) -> Prepared:
    """Read, align, resample and normalise the sequences of a study.

    sequences: the network's channels in order; spacing: of the working grid, mm. A sequence that the study lacks
    becomes a channel of zeros. Raises `BrainMVPError` naming the file that cannot be used.
    """
    target = read_volume(study.images[reference])
    mask = extract_brain(target)
    grid = _head_grid(mask, target, spacing)
    brain = clean(resample_mask(mask, target.affine, grid))
    if not brain.any():
        raise BrainMVPError(f"{target.path} shows no head; check that it is the right image.")
    grid, brain = _cropped(grid, brain)
    used = tuple(sequence for sequence in sequences if sequence in study.images)
    channels = []
    for sequence in sequences:
        if sequence not in study.images:
            channels.append(torch.zeros(grid.shape))
            continue
        volume = target if sequence is reference else read_volume(study.images[sequence])
        world = np.eye(4) if sequence is reference else align(volume, target)
        # Slices that a sequence does not cover are not part of its brain: their zeros would shift its percentiles.
        seen = torch.from_numpy(brain & resample_mask(foreground(volume), volume.affine, grid, world))
        channels.append(normalise(torch.from_numpy(resample(volume, grid, world)), seen, sequence))
    missing = tuple(sequence for sequence in sequences if sequence not in used)
    return Prepared(torch.stack(channels), brain, grid, target, reference, used, missing)


def _cropped(grid: Grid, brain: np.ndarray) -> tuple[Grid, np.ndarray]:
    """Return the part of a grid that holds the brain, with a voxel around it, and the mask on that part."""
    box = []
    for axis, size in enumerate(brain.shape):
        inside = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(int(inside[0]) - 1, 0), min(int(inside[-1]) + 2, size)))
    affine = grid.affine.copy()
    affine[:3, 3] = (grid.affine @ [*(part.start for part in box), 1.0])[:3]
    return Grid(tuple(part.stop - part.start for part in box), affine), brain[tuple(box)]


def _head_grid(mask: np.ndarray, volume: Volume, spacing: float) -> Grid:
    step = np.maximum(_COARSE_MM // volume.spacing, 1).astype(int)
    coarse = clean(mask[tuple(slice(None, None, s) for s in step)])
    return ras_grid(coarse, volume.affine @ np.diag([*step, 1.0]), spacing, margin_mm=2 * _COARSE_MM)
