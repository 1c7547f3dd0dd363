"""One picture of a study and its segmentation: every sequence, three planes, volumes."""

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from brainmvp.files import atomically
from brainmvp.fonts import fonts
from brainmvp.millilitres import written_ml
from brainmvp.sequences import Sequence
from brainmvp.spatial import resample_labels
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.view import View
from brainmvp.volume import Volume, read_volume


@fonts()
def draw_segmentation(
    study: Study,
    labels: Volume,
    task: Task,
    path: str | os.PathLike[str],
    names: dict[int, str] | None = None,
    reference: Sequence | None = None,
    worlds: dict[Sequence, np.ndarray] | None = None,
    brain: np.ndarray | None = None,
) -> Path:
    """Draw a study with its segmentation and return the path.

    Top: the axial slice with most of the finding, in every sequence, outlined. Bottom: the reference's three
    planes through it, filled, and the volumes. Radiological convention: the patient's right is on the left.
    labels: (X, Y, Z) on the reference's grid; names: label names by value where they are not the task's own;
    reference: else the task's choice; worlds: (4, 4) from the reference's world to a sequence's, where registered;
    brain: (X, Y, Z) bool on the reference's grid, what is looked at; else all that the reference shows.
    """
    names = names or task.label_names([region.name for region in task.regions])
    reference, worlds = study.reference(task, reference), worlds or {}
    target = read_volume(study.images[reference])
    view = View.of(target, brain)
    values = resample_labels(labels.data, labels.affine, view.grid)
    centre = finding_centre(values)
    images = {s: view.grey(read_volume(p), worlds.get(s)) for s, p in study.images.items()}

    columns = max(len(images), 4)
    figure = Figure(figsize=(3.1 * columns, 7.2), facecolor="black", layout="constrained")
    axes = figure.subplots(2, columns)
    for axis in axes.ravel():
        axis.set_axis_off()
    colours = {label.value: np.array(label.color) / 255 for label in task.labels}
    for axis, (sequence, image) in zip(axes[0], images.items(), strict=False):
        show_slice(axis, image, values, 2, centre, colours, filled=False)
        axis.set_title(str(sequence), color="white", fontsize=13)
    for axis, plane, title in zip(axes[1], (2, 1, 0), ("axial", "coronal", "sagittal"), strict=False):
        show_slice(axis, images[reference], values, plane, centre, colours, filled=True)
        axis.set_title(f"{reference}, {title}", color="white", fontsize=11)
    _legend(axes[1, 3], labels, names, colours)
    figure.suptitle(f"{study.id}   ·   {task.title}", color="white", fontsize=15, parse_math=False)
    path = Path(path)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=100, facecolor="black", format="png"))
    return path


def finding_centre(values: np.ndarray) -> tuple[int, int, int]:
    """Return the slice with most of the finding along each axis, or the middle of the head where nothing is found."""
    if not values.any():
        return tuple(size // 2 for size in values.shape)
    marked = values > 0
    return tuple(int(marked.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3))


def show_slice(
    axis: Axes,
    image: np.ndarray,
    values: np.ndarray,
    plane: int,
    centre: tuple[int, int, int],
    colours: dict[int, np.ndarray],
    filled: bool,
) -> None:
    """Draw one slice (RAS, grey values 0…1) with the outlines of its labels; plane: the axis that is cut.

    Where labels touch, the smaller one's outline is seen. A letter says which side of the patient is on the left.
    """
    index = centre[plane]
    # In RAS x grows towards the patient's right, which radiologists see on the left: mirror all but the sagittal plane.
    pixels, marks = (np.take(array, index, plane).T for array in (image, values))
    if plane != 0:
        pixels, marks = pixels[:, ::-1], marks[:, ::-1]
    axis.imshow(pixels, cmap="gray", origin="lower", vmin=0, vmax=1, interpolation="bilinear")
    side = "P" if plane == 0 else "R"
    axis.text(0.02, 0.98, side, color="white", va="top", transform=axis.transAxes, fontsize=9)
    shown = {value: np.count_nonzero(marks == value) for value in colours}
    for value in sorted(filter(shown.get, shown), key=shown.get, reverse=True):
        mask, colour = marks == value, colours[value]
        if filled:
            area = np.ma.masked_where(~mask, mask)
            axis.imshow(
                area, cmap=ListedColormap([colour]), origin="lower", alpha=0.45, interpolation="nearest"
            )
        axis.contour(mask.astype(float), [0.5], colors=[colour], linewidths=1.1)


def _legend(axis: Axes, labels: Volume, names: dict[int, str], colours: dict[int, np.ndarray]) -> None:
    counts = np.bincount(labels.data.ravel(), minlength=256)
    handles = [
        Patch(color=colours[value], label=f"{name}\n{written_ml(counts[value] * labels.voxel_ml)} mL")
        for value, name in names.items()
    ]
    title = "Nothing found" if not labels.data.any() else "Volumes"
    legend = axis.legend(
        handles=handles, loc="center", frameon=False, labelcolor="white", fontsize=11, title=title
    )
    legend.get_title().set_color("white")
    axis.text(
        0.5, 0.02, "Not a medical device", color="0.6", ha="center", transform=axis.transAxes, fontsize=9
    )
