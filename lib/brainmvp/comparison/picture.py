"""Both visits side by side: the same three planes through the same place of the head."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from brainmvp.card import NOTICE
from brainmvp.files import atomically
from brainmvp.fonts import fonts
from brainmvp.millilitres import written_ml
from brainmvp.picture import finding_centre, show_slice
from brainmvp.spatial import resample_labels
from brainmvp.view import View
from brainmvp.volume import read_volume

if TYPE_CHECKING:
    from brainmvp.comparison.change import Comparison

_WARNING_WIDTH = 130  # characters in a line over the whole picture


@fonts()
def draw_comparison(comparison: "Comparison", path: str | Path) -> Path:
    """Draw the first visit above the second, moved onto it, with their outlines and the changes; return the path."""
    before, after = comparison.before, comparison.after
    target = read_volume(before.study.images[before.reference])
    view = View.of(target, before.brain)
    worlds = (np.eye(4), comparison.alignment.world)
    labels = [
        resample_labels(visit.labels.data, visit.labels.affine, view.grid, world)
        for visit, world in zip((before, after), worlds, strict=True)
    ]
    centre = finding_centre(np.maximum(*labels))
    colours = {label.value: np.array(label.color) / 255 for label in comparison.task.labels}
    figure = Figure(figsize=(12.5, 7.4), facecolor="black", layout="constrained")
    axes = figure.subplots(2, 4, width_ratios=(1, 1, 1, 1.15))
    for axis in axes.ravel():
        axis.set_axis_off()
    for row, name, visit, world, values in zip(
        axes, ("before", "after"), (before, after), worlds, labels, strict=True
    ):
        image = view.grey(read_volume(visit.study.images[visit.reference]), world)
        for axis, plane in zip(row, (2, 1, 0), strict=False):
            show_slice(axis, image, values, plane, centre, colours, filled=False)
        title = f"{name}: {visit.name}, {visit.reference}"
        row[0].set_title(title, color="white", fontsize=11, loc="left", parse_math=False)
    plain = {"va": "top", "parse_math": False}
    axes[0, 3].text(0, 0.95, _table(comparison), color="white", fontsize=11, linespacing=1.6, **plain)
    if comparison.warnings:
        warning = "\n".join(line for one in comparison.warnings for line in wrap(one, _WARNING_WIDTH))
        figure.suptitle(warning, color="orange", fontsize=13, x=0.01, ha="left", parse_math=False)
    remarks = "\n".join([*comparison.remarks, NOTICE])
    axes[1, 3].text(0, 0.95, remarks, color="0.75", fontsize=9, wrap=True, **plain)
    handles = [Patch(color=colours[value], label=name) for value, name in outline_names(comparison).items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, labelcolor="white")
    path = Path(path)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=100, facecolor="black", format="png"))
    return path


def outline_names(comparison: "Comparison") -> dict[int, str]:
    """Return what each outline is, by value: of a visit without T1CE that of the oedema is the whole tumour's."""
    visits = (comparison.before, comparison.after)
    before, after = (comparison.task.label_names(list(visit.regions)) for visit in visits)
    names = before | after
    for value in before.keys() & after.keys():
        if before[value] != after[value]:
            names[value] = f"{before[value]} (before), {after[value]} (after)"
    return dict(sorted(names.items()))


def _table(comparison: "Comparison") -> str:
    lines = [comparison.interval]
    for change in comparison.changes:
        before, after = written_ml(change.before_ml), written_ml(change.after_ml)
        lines.append(f"{change.name}\n   {before} → {after} mL   ({change.in_words})")
    return "\n".join(lines)
