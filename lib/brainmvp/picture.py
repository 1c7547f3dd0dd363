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
from brainmvp.view import View, as_seen, mark_side
from brainmvp.volume import Volume, read_volume

_LINE = 1.1  # the width of an outline, points


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

    Each outline runs inside its own label: where labels touch, a line of each is seen, and so is a thin rim. A letter
    says which side of the patient is on the left.
    """
    pixels, marks = (as_seen(array, plane, centre[plane]) for array in (image, values))
    axis.imshow(pixels, cmap="gray", origin="lower", vmin=0, vmax=1, interpolation="bilinear")
    axis.autoscale(False)
    mark_side(axis, plane)
    for value, colour in colours.items():
        mask = marks == value
        if not mask.any():
            continue
        if filled:
            area = np.ma.masked_where(~mask, mask)
            axis.imshow(
                area, cmap=ListedColormap([colour]), origin="lower", alpha=0.45, interpolation="nearest"
            )
        _outline(axis, mask, colour)


def _outline(axis: Axes, mask: np.ndarray, colour: np.ndarray) -> None:
    padded = np.pad(mask, 1).astype(float)  # what goes on beyond the picture is outlined at its edge
    rows, columns = (np.arange(size) - 1 for size in padded.shape)
    line = axis.contour(columns, rows, padded, [0.5], colors=[colour], linewidths=2 * _LINE)
    line.set_clip_path(line.get_paths()[0], line.get_transform())  # the half of it that lies inside


def _legend(axis: Axes, labels: Volume, names: dict[int, str], colours: dict[int, np.ndarray]) -> None:
    counts = np.bincount(labels.data.ravel(), minlength=256)
    handles = [
        Patch(color=colours[value], label=f"{name}\n{written_ml(counts[value] * labels.voxel_ml)} mL")
        for value, name in names.items()
    ]
    title = "Nothing marked" if not labels.data.any() else "Volumes"
    legend = axis.legend(
        handles=handles, loc="center", frameon=False, labelcolor="white", fontsize=11, title=title
    )
    legend.get_title().set_color("white")
    axis.text(
        0.5, 0.02, "Not a medical device", color="0.6", ha="center", transform=axis.transAxes, fontsize=9
    )
