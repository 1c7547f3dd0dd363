"""Where to look at a study, and in which shades of grey."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from brainmvp.foreground import clean, foreground
from brainmvp.spatial import Grid, ras_grid, resample, resample_mask
from brainmvp.volume import Volume

_SPACING = 1.0  # mm
_WINDOW = (1.0, 99.5)  # percentiles that become black and white
_LEFT = ("A", "R", "R")  # what is on the left of a sagittal, coronal and axial slice


@dataclass(frozen=True)
class View:
    """grid: RAS, 1 mm; brain: (X, Y, Z) bool on it, whose greys matter; None where it is not known."""

    grid: Grid
    brain: np.ndarray | None

    @classmethod
    def of(cls, target: Volume, brain: np.ndarray | None = None) -> "View":
        """Return the view around the brain (X, Y, Z) bool of an image, and not the face; else all that it shows."""
        mask = foreground(target) if brain is None else brain
        half = target.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
        grid = ras_grid(clean(mask[::2, ::2, ::2]), half, _SPACING)
        return cls(grid, None if brain is None else resample_mask(brain, target.affine, grid))

    def grey(self, volume: Volume, world: np.ndarray | None = None) -> np.ndarray:
        """Return an image (X, Y, Z) as grey values 0…1; world: (4, 4), from the view's world to the image's.

        Black and white are percentiles of the brain: fat of the orbit and enhancing mucosa, brighter than anything
        in it, would make it one dull grey.
        """
        image = resample(volume, self.grid, world)
        seen = image != 0
        inside = image[seen & self.brain] if self.brain is not None else image[seen]
        low, high = np.percentile(inside, _WINDOW) if inside.size else (0.0, 1.0)
        return np.clip((image - low) / max(high - low, 1e-6), 0, 1)


def as_seen(array: np.ndarray, plane: int, index: int) -> np.ndarray:
    """Return a slice of an array (X, Y, Z) in RAS as radiologists see it, (row, column), the lowest row first.

    plane: the axis that is cut. The patient's right, of a sagittal slice the face, is on the left.
    """
    # In RAS x and y grow to the right and to the front.
    return np.take(array, index, plane).T[:, ::-1]


def mark_side(axis: Axes, plane: int) -> None:
    """Write the letter of what is on the left of a slice that is `as_seen` into its corner."""
    axis.text(0.02, 0.98, _LEFT[plane], color="white", va="top", transform=axis.transAxes, fontsize=9)
