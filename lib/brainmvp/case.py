"""A labelled study: what is learned from, and what results are compared with."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainmvp.errors import BrainMVPError
from brainmvp.files import digest_of
from brainmvp.segnrrd import read_by_name
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.volume import Volume, read_volume

# A label may have been saved with a header rounded to a tenth of a millimetre (ISLES 2022).
_SAME_GRID_MM = 0.1


@dataclass(frozen=True)
class Case:
    """A study with its label map, or its class; `patient` is the one who is never on two sides of a split.

    drawn_with: the sequences that there were when the label was drawn; None where nobody noted them: those of now.

    Example:
        >>> Case(study, label=Path("s1_seg.nii.gz"), patient="s1")                 # doctest: +SKIP

    """

    study: Study
    label: Path | None = None
    target: str | None = None
    patient: str = ""
    drawn_with: frozenset[Sequence] | None = None

    @property
    def id(self) -> str:
        return self.study.id

    @property
    def group(self) -> str:
        """The patient; a study of an unnamed one stands for itself."""
        return self.patient or self.study.id

    @property
    def looked_at(self) -> set[Sequence]:
        """The sequences of the study that the label was drawn with: the others say nothing of what it leaves out."""
        now = set(self.study.images)
        return now if self.drawn_with is None else now & self.drawn_with


def labels_digest(cases: list[Case]) -> str:
    """Return SHA-256 of what cases teach, their label maps or classes, wherever the files lie.

    A file that cannot be read counts as none: who reads it for what is in it says so.
    """
    said = []
    for case in cases:
        content = None
        if case.label is not None:
            with suppress(OSError):
                content = digest_of(case.label)
        said.append((content, case.target, None if case.drawn_with is None else sorted(case.drawn_with)))
    return hashlib.sha256(repr(said).encode()).hexdigest()


def class_index(task: Task, case: Case) -> int:
    """Return the position of a case's class; raises `BrainMVPError` if it has none, or one that the task lacks."""
    keys = [c.key for c in task.classes]
    if case.target is None:
        raise BrainMVPError(f"{case.id} has no class; add it to the index (one of {', '.join(keys)}).")
    if case.target not in keys:
        raise BrainMVPError(
            f"{case.id} is of class '{case.target}'; the {task.name} task knows {', '.join(keys)}."
        )
    return keys.index(case.target)


def read_label(task: Task, case: Case) -> tuple[Volume, Sequence]:
    """Return the label map with the task's values (X, Y, Z) uint8, and the sequence on whose grid it lies.

    The segments of a `.seg.nrrd` are told by their names. A label map may reach over a part of the sequence, or have
    its axes in another order, as programs save them.

    Raises `BrainMVPError` if there is none, it holds unknown values or segments, or lies on the grid of no sequence.
    """
    if case.label is None:
        raise BrainMVPError(f"{case.id} has no label map; label it, or leave it out of the index.")
    label = read_volume(case.label)
    values = read_by_name(label, task, str(case.label))
    part = None
    for sequence in task.reference:
        if sequence in case.study.images:
            image = read_volume(case.study.images[sequence])
            if label.same_grid(image, _SAME_GRID_MM):
                return Volume(np.asarray(values), image.affine, case.label), sequence
            if part is None and (placed := _on_grid(values, label.affine, image)) is not None:
                part = Volume(placed, image.affine, case.label), sequence
    if part:
        return part
    names = ", ".join(s for s in task.sequences if s in case.study.images) or "no sequence of the task"
    raise BrainMVPError(
        f"{case.label} lies on the grid of none of {case.id}'s sequences ({names}); save it on one of them."
    )


def _on_grid(values: np.ndarray, affine: np.ndarray, image: Volume) -> np.ndarray | None:
    """Return a label map (X, Y, Z) on the grid of an image, or None where it marks what is no voxel of the image."""
    step = np.rint(np.linalg.solve(image.affine, affine))  # from its voxels to the image's
    if round(abs(np.linalg.det(step))) != 1:
        return None
    if not Volume(values, affine).same_grid(Volume(values, image.affine @ step), _SAME_GRID_MM):
        return None
    marked = (np.argwhere(values) @ step[:3, :3].T + step[:3, 3]).astype(int)
    if (marked < 0).any() or (marked >= image.shape).any():
        return None
    result = np.zeros(image.shape, np.uint8)
    result[tuple(marked.T)] = values[values > 0]
    return result
