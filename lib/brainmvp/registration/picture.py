"""Show how each sequence lies on the reference, for the eye to judge what a number cannot."""

import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from brainmvp.picture import view_grid, windowed
from brainmvp.registration.alignment import Alignment
from brainmvp.sequences import Sequence
from brainmvp.spatial import resample
from brainmvp.study import Study
from brainmvp.volume import atomically, read_volume

_SQUARE = 24  # of the checkerboard, voxels of 1 mm
_COLUMN, _ROW = 3.2, 3.4  # inches


def draw_alignments(
    study: Study,
    reference: Sequence,
    alignments: dict[Sequence, Alignment],
    path: str | os.PathLike[str],
    brain: np.ndarray | None = None,
) -> Path:
    """Draw a checkerboard of the reference and each aligned sequence in three planes, and return the path.

    Where edges run on from one square to the next the two agree. brain: (X, Y, Z) bool on the reference's grid, what is
    looked at; else all that the reference shows. Raises `BrainMVPError` if a file cannot be read.
    """
    target = read_volume(study.images[reference])
    grid = view_grid(target, brain)
    below = windowed(resample(target, grid))
    rows = max(len(alignments), 1)
    figure = Figure(figsize=(3 * _COLUMN, _ROW * rows), facecolor="black", layout="constrained")
    axes = figure.subplots(rows, 3, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for row, (sequence, alignment) in zip(axes, alignments.items(), strict=False):
        above = windowed(resample(read_volume(study.images[sequence]), grid, alignment.world))
        mixed = np.where(_board(grid.shape), above, below)
        for axis, plane in zip(row, (2, 1, 0), strict=True):
            pixels = np.take(mixed, grid.shape[plane] // 2, plane).T
            axis.imshow(
                pixels if plane == 0 else pixels[:, ::-1], cmap="gray", origin="lower", vmin=0, vmax=1
            )
        row[0].set_title(_title(sequence, reference, alignment), loc="left", fontsize=10, **_look(alignment))
    path = Path(path)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=90, facecolor="black", format="png"))
    return path


def _board(shape: tuple[int, int, int]) -> np.ndarray:
    return sum(index // _SQUARE for index in np.indices(shape, sparse=True)) % 2 == 1


def _title(sequence: Sequence, reference: Sequence, alignment: Alignment) -> str:
    what = f"{sequence} on {reference}: "
    if alignment.doubt:
        return f"{what}DOUBTFUL, not used; {alignment.doubt}"
    if not alignment.moved:
        return f"{what}fits as its header says"
    return f"{what}moved {alignment.shift_mm:.1f} mm, turned {alignment.turn_deg:.1f}°"


def _look(alignment: Alignment) -> dict[str, str]:
    return {"color": "orange", "fontweight": "bold"} if alignment.doubt else {"color": "white"}
