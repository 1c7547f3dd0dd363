"""Show how each sequence lies on the reference, for the eye to judge what a number cannot."""

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainmvp.files import atomically
from brainmvp.registration.alignment import Alignment
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.view import View, as_seen, mark_side
from brainmvp.volume import read_volume

_SQUARE = 24  # of the checkerboard, voxels of 1 mm
_COLUMN, _ROW = 2.9, 3.4  # inches


def draw_alignments(
    study: Study,
    reference: Sequence,
    alignments: dict[Sequence, Alignment],
    path: str | os.PathLike[str],
    brain: np.ndarray | None = None,
) -> Path:
    """Draw checkerboards of the reference and each other sequence, and return the path.

    Each row: an axial slice as the headers put the two, then three planes as they were aligned. Where edges run on
    from one square to the next they agree. brain: (X, Y, Z) bool on the reference's grid, what is looked at; else all
    that the reference shows. Raises `BrainMVPError` if a file cannot be read.
    """
    target = read_volume(study.images[reference])
    view = View.of(target, brain)
    below = view.grey(target)
    rows = max(len(alignments), 1)
    figure = Figure(figsize=(4 * _COLUMN, _ROW * rows), facecolor="black", layout="constrained")
    figure.get_layout_engine().set(h_pad=0.15)  # inches, for the titles
    axes = figure.subplots(rows, 4, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    board = _board(view.grid.shape)
    for row, (sequence, alignment) in zip(axes, alignments.items(), strict=False):
        volume = read_volume(study.images[sequence])
        before, after = (np.where(board, view.grey(volume, w), below) for w in (np.eye(4), alignment.world))
        _show(row[0], before, 2, "as the headers say: axial")
        for axis, plane, name in zip(
            row[1:], (2, 1, 0), ("aligned: axial", "coronal", "sagittal"), strict=True
        ):
            _show(axis, after, plane, name)
        title = row[0].set_title(
            _title(sequence, reference, alignment), loc="left", fontsize=10, **_look(alignment)
        )
        title.set_in_layout(False)  # else the first column would be as wide as its words
    path = Path(path)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=90, facecolor="black", format="png"))
    return path


def _board(shape: tuple[int, int, int]) -> np.ndarray:
    return sum(index // _SQUARE for index in np.indices(shape, sparse=True)) % 2 == 1


def _show(axis: Axes, image: np.ndarray, plane: int, name: str) -> None:
    pixels = as_seen(image, plane, image.shape[plane] // 2)
    axis.imshow(pixels, cmap="gray", origin="lower", vmin=0, vmax=1)
    mark_side(axis, plane)
    axis.text(0.02, 0.02, name, color="0.75", fontsize=8, transform=axis.transAxes)


def _title(sequence: Sequence, reference: Sequence, alignment: Alignment) -> str:
    what = f"{sequence} on {reference}: "
    if alignment.doubt:
        return f"{what}DOUBTFUL, not used; {alignment.doubt}"
    if not alignment.moved:
        return f"{what}fits as its header says"
    moved = f"{what}moved {alignment.shift_mm:.1f} mm, turned {alignment.turn_deg:.1f}°"
    if alignment.brains is None:
        return moved
    return (
        f"{moved}; overlap of the brains (Dice) {alignment.brains_before:.2f}, aligned {alignment.brains:.2f}"
    )


def _look(alignment: Alignment) -> dict[str, str]:
    return {"color": "orange", "fontweight": "bold"} if alignment.doubt else {"color": "white"}
