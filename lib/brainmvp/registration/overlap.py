"""How well the brains of two images lie on each other, each found on its own."""

from dataclasses import replace

import numpy as np

from brainmvp.registration.alignment import Alignment
from brainmvp.spatial import Grid, resample_mask
from brainmvp.volume import Volume


def with_overlap(alignment: Alignment, moving: Volume, fixed: Volume) -> Alignment:
    """Return the alignment with the Dice of the two brains before and after.

    moving, fixed: the brain (X, Y, Z) bool of the sequence and of the reference, on their own grids.
    """
    before, after = (brain_overlap(moving, fixed, world) for world in (np.eye(4), alignment.world))
    return replace(alignment, brains_before=before, brains=after)


def brain_overlap(moving: Volume, fixed: Volume, world: np.ndarray) -> float:
    """Return the Dice of two brains (X, Y, Z) bool in what both images show; world: from `fixed` to `moving`, mm."""
    grid = Grid(fixed.shape, fixed.affine)
    shown = resample_mask(np.ones(moving.shape, bool), moving.affine, grid, world)
    other, brain = resample_mask(moving.data, moving.affine, grid, world), fixed.data & shown
    return float(2 * (other & brain).sum() / max(other.sum() + brain.sum(), 1))
