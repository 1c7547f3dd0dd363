"""A page of cases: what the scan shows, what is there, and what was found."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from brainmvp.files import atomically
from brainmvp.tasks import Task

_INCH = 2.5


@dataclass(frozen=True)
class Row:
    """One case of a page.

    image: (X, Y) any units, an axial slice in RAS; truth, found: (X, Y) uint8 labels, or None for a classification.
    """

    title: str
    image: np.ndarray
    truth: np.ndarray | None = None
    found: np.ndarray | None = None


def widest_slice(labels: np.ndarray) -> int:
    """Return the axial slice of labels (X, Y, Z) with most of what is labelled, or the middle one."""
    areas = (labels > 0).sum((0, 1))
    return int(areas.argmax()) if areas.any() else labels.shape[2] // 2


def draw_page(task: Task, rows: list[Row], path: str | os.PathLike[str], heading: str) -> Path:
    """Draw one row per case and return the path. Radiological convention: the patient's right is on the left."""
    columns = ("scan", "truth", "found") if task.labels else ("scan",)
    # A classification has one picture a case: they go side by side.
    across = len(columns) if task.labels else min(len(rows), 4)
    down = len(rows) if task.labels else -(-len(rows) // across)
    size = (_INCH * max(across, 2), _INCH * 1.12 * down + 0.9)
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for index, row in enumerate(rows):
        own = axes[index] if task.labels else [axes[index // across][index % across]]
        low, high = np.percentile(row.image[row.image != 0], (1, 99.5)) if row.image.any() else (0.0, 1.0)
        image = np.where(row.image == 0, low, row.image)  # what is outside the brain is black
        for axis, marks in zip(own, (None, row.truth, row.found), strict=False):
            axis.imshow(_turned(image), cmap="gray", origin="lower", vmin=low, vmax=max(high, low + 1e-6))
            for label in task.labels if marks is not None else ():
                mask = _turned(marks) == label.value
                if mask.any():
                    colour = ListedColormap([np.array(label.color) / 255])
                    shown = np.ma.masked_where(~mask, mask)
                    axis.imshow(shown, cmap=colour, origin="lower", alpha=0.55, interpolation="nearest")
        own[0].set_title(row.title, color="white", fontsize=8, loc="left")
        for axis, name in zip(own[1:], columns[1:], strict=True):
            axis.set_title(name, color="0.7", fontsize=8, loc="left")
        own[0].text(0.01, 0.5, "R", color="0.6", transform=own[0].transAxes, fontsize=8)
    if task.labels:
        handles = [Patch(color=np.array(label.color) / 255, label=label.name) for label in task.labels]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=2,
            frameon=False,
            labelcolor="white",
            fontsize=8,
        )
    figure.suptitle(heading, color="white", fontsize=10, parse_math=False)
    path = Path(path)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, facecolor="black", format="png"))
    return path


def _turned(image: np.ndarray) -> np.ndarray:
    # In RAS x grows to the patient's right, which radiologists see on the left.
    return np.asarray(image).T[:, ::-1]
