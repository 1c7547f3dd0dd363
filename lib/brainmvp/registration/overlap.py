"""How well the brains of two images lie on each other, each found on its own."""

from dataclasses import dataclass, replace

import numpy as np

from brainmvp.dice import dice
from brainmvp.registration.alignment import Alignment
from brainmvp.spatial import Grid, resample_mask
from brainmvp.volume import Volume


@dataclass(frozen=True)
class LaidBrain:
    """The brain of one image on the grid of another: brain and shown, what the image reaches, (X, Y, Z) bool."""

    brain: np.ndarray
    shown: np.ndarray

    @classmethod
    def of(cls, own: Volume, grid: Grid, world: np.ndarray) -> "LaidBrain":
        """Lay a brain (X, Y, Z) bool, on its own grid, onto another; world: from that grid's to its own, mm."""
        shown = resample_mask(np.ones(own.shape, bool), own.affine, grid, world)
        return cls(resample_mask(own.data, own.affine, grid, world), shown)

    def overlap(self, other: np.ndarray) -> float:
        """Return the Dice with another brain (X, Y, Z) bool in what both images show; 0 where there is none."""
        return dice(self.brain, other & self.shown, both_empty=0.0)

    def vote(self, other: np.ndarray) -> np.ndarray:
        """Return the brain; where its image was not scanned it agrees with the other (X, Y, Z) bool."""
        return np.where(self.shown, self.brain, other)


def with_overlap(alignment: Alignment, moving: Volume, fixed: Volume) -> tuple[Alignment, LaidBrain]:
    """Return the alignment with the Dice of the two brains before and after, and the sequence's brain as aligned.

    moving, fixed: the brain (X, Y, Z) bool of the sequence and of the reference, on their own grids.
    """
    grid = Grid(fixed.shape, fixed.affine)
    before, after = (LaidBrain.of(moving, grid, world) for world in (np.eye(4), alignment.world))
    measured = replace(alignment, brains_before=before.overlap(fixed.data), brains=after.overlap(fixed.data))
    return measured, after
