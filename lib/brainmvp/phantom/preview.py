"""A page of phantoms, for a person to judge whether they look like patients."""

from pathlib import Path

import numpy as np

from brainmvp.phantom.anatomy import Anatomy
from brainmvp.phantom.generator import Phantom, make_phantom
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task


def draw_preview(
    path: Path,
    task: str,
    *,
    count: int,
    first_seed: int,
    difficulty: float,
    anatomies: list[Anatomy],
    sequences: tuple[Sequence, ...],
) -> Path:
    """Draw `count` phantoms of a task, one per row, their sequences and labels in columns; returns the path.

    Each row shows the axial slice with most of the lesion, normalised as the models see it.
    """
    from matplotlib.figure import Figure

    colours = {label.value: np.array(label.color) / 255 for label in get_task(task).labels}
    figure = Figure((1.5 * (len(sequences) + 1), 1.75 * count), facecolor="black", layout="compressed")
    axes = figure.subplots(count, len(sequences) + 1, squeeze=False)
    for row, cells in enumerate(axes):
        phantom = make_phantom(
            first_seed + row, task, difficulty=difficulty, anatomies=anatomies, sequences=sequences
        )
        _draw_row(cells, phantom, colours)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    return path


def _draw_row(cells: np.ndarray, phantom: Phantom, colours: dict[int, np.ndarray]) -> None:
    area = (phantom.labels > 0).sum((0, 1))
    level = int(area.argmax()) if area.any() else phantom.labels.shape[2] // 2
    for cell, sequence in zip(cells, phantom.images, strict=False):
        scaled = phantom.normalised(sequence)
        low, high = (0.0, 2.2) if sequence is Sequence.ADC else (-0.25, 1.6)
        cell.imshow(scaled[:, :, level].T, cmap="gray", vmin=low, vmax=high, origin="lower")
        cell.set_title(str(sequence), color="white", fontsize=6, pad=1)
    labels = phantom.labels[:, :, level].numpy()
    picture = np.zeros((*labels.T.shape, 3))
    picture[phantom.brain[:, :, level].numpy().T] = 0.2
    for value, colour in colours.items():
        picture[value == labels.T] = colour
    cells[-1].imshow(picture, origin="lower")
    facts = phantom.facts
    note = f"{facts['seed']} {facts['anatomy']}\n{facts['disease']} {facts.get('kind', '')}"
    cells[-1].set_title(note, color="white", fontsize=5, pad=1)
    for cell in cells:
        cell.axis("off")
