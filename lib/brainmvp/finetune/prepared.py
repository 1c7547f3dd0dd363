"""Labelled studies as the network sees them, prepared once and kept on disk."""

import hashlib
import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainmvp.case import Case, class_index, read_label
from brainmvp.classify import resize
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.finetune.labels import labels_on
from brainmvp.finetune.on_disk import OnDisk, write_array
from brainmvp.prepare import Prepared, prepare
from brainmvp.sequences import Sequence
from brainmvp.spatial import middle_of, resample
from brainmvp.study import files_of
from brainmvp.tasks import Task
from brainmvp.volume import Volume, read_volume

# The grid of the BraTS data sets, in whose world the templates lie (see `templates.py`).
_SRI24_SHAPE = (240, 240, 155)
_VERSION = 5  # raise it when what is prepared changes, so that nothing old is used


@dataclass(frozen=True)
class PreparedCase:
    """One case on its working grid.

    images: (C, X, Y, Z) float16, channels as the task's sequences, zero where missing; shown: (C,) bool, which are
    there; fill: like images, what may take a sequence's place, or None for zeros; labels: (X, Y, Z) uint8, or None;
    target: position of the class, or None; drawn: (C,) bool, which the labels were drawn with, or None for all; key:
    how the names of its files begin.
    """

    id: str
    patient: str
    images: np.ndarray | OnDisk
    shown: np.ndarray
    fill: np.ndarray | OnDisk | None = None
    labels: np.ndarray | OnDisk | None = None
    target: int | None = None
    drawn: np.ndarray | None = None
    key: str = ""

    @property
    def looked_at(self) -> np.ndarray:
        """Which of the sequences that are there the labels were drawn with, (C,) bool."""
        return self.shown if self.drawn is None else self.shown & self.drawn


@dataclass(frozen=True)
class Preparation:
    """How cases are prepared: spacing in mm; grid: voxels to resize the brain's box to, or None; templates to fill
    with, already in the intensities to paste, or None."""

    task: Task
    spacing: float
    grid: tuple[int, int, int] | None = None
    templates: dict[Sequence, Volume] | None = None

    def all(
        self,
        cases: list[Case],
        folder: Path,
        tell: Callable[[int, int], None] | None = None,
        workers: int = 1,
    ) -> list[PreparedCase]:
        """Prepare cases, or find them in `folder`; tell: called with (done, of how many).

        Raises `BrainMVPError` naming the first case that cannot be used.
        """
        folder.mkdir(parents=True, exist_ok=True)
        results = []
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            for result in pool.map(lambda case: self.one(case, folder), cases):
                results.append(result)
                if tell:
                    tell(len(results), len(cases))
        return results

    def one(self, case: Case, folder: Path) -> PreparedCase:
        """Prepare a case, or find it in `folder`; one of whose files a part is missing is prepared anew."""
        stem = folder / self._key(case)
        try:
            known, arrays = _found(stem)
        except (FileNotFoundError, ValueError, EOFError, KeyError):  # not yet, or cut short as the power went
            made, shown, target = self._make(case)
            for name, array in made.items():
                write_array(stem.with_suffix(f".{name}.npy"), array)
            told = {"id": case.id, "shown": shown, "target": target, "arrays": list(made)}
            write_json(stem.with_suffix(".json"), told)
            known, arrays = _found(stem)
        drawn = np.array([sequence in case.looked_at for sequence in self.task.sequences])
        return PreparedCase(
            case.id, case.group, shown=np.array(known["shown"]), target=known["target"], drawn=drawn, key=stem.name,
            **arrays,
        )  # fmt: skip

    def _make(self, case: Case) -> tuple[dict[str, np.ndarray], list[bool], int | None]:
        task = self.task
        task.check_sequences(set(case.study.images), case.id, case.study.unusable)
        label, target = None, None
        if task.kind == "segmentation":
            label, reference = read_label(task, case)
        else:
            target, reference = class_index(task, case), case.study.reference(task)
        prepared = prepare(case.study, task.sequences, reference, self.spacing)
        images = prepared.images
        if self.grid is not None:
            images = resize(images, self.grid)
        arrays = {"images": images.numpy().astype(np.float16)}
        if label is not None:
            arrays["labels"] = labels_on(prepared.grid, label, task)
        if self.templates is not None:
            arrays["fill"] = _fill(self.templates, task.sequences, prepared)
        return arrays, [s in prepared.used for s in task.sequences], target

    def _key(self, case: Case) -> str:
        images = [(s, case.study.images[s]) for s in self.task.sequences if s in case.study.images]
        images += [("label", case.label)] if case.label else []
        files = [(str(name), path) for name, image in images for path in files_of(image)]
        try:
            known = [(name, str(p), p.stat().st_mtime_ns, p.stat().st_size) for name, p in files]
        except OSError as error:
            raise BrainMVPError(
                f"{error.filename} of {case.id} cannot be read ({error.strerror})."
            ) from error
        task = self.task
        settled = (_VERSION, known, task.meaning, case.target, self.spacing, self.grid, self._filling)
        return hashlib.sha256(repr(settled).encode()).hexdigest()[:24]

    @cached_property
    def _filling(self) -> list[str] | None:
        """What tells the templates from others, or None if there are none."""
        return self.templates and [
            hashlib.sha256(t.data.tobytes() + t.affine.tobytes()).hexdigest() for t in self.templates.values()
        ]


def keep_only(keys: Collection[str], folder: Path) -> None:
    """Remove the prepared studies of other keys from a folder, and what was being written there."""
    for path in list(folder.glob("*")):
        if path.name.partition(".")[0] not in keys:
            with suppress(OSError):  # a later run removes it
                path.unlink()


def remove_study(study: str, folder: Path) -> None:
    """Remove whatever was prepared of a study, for any task, below a folder; what tells whose it is goes last.

    Raises `OSError` if a file cannot be removed, as on Windows while it is read.
    """
    for told in list(folder.glob("*/*.json")):
        # Damaged, so that nobody can tell whose it is; removed meanwhile.
        with suppress(ValueError, FileNotFoundError):
            if json.loads(told.read_text("utf-8"))["id"] == study:
                for array in list(told.parent.glob(f"{told.stem}.*.npy")):
                    array.unlink(missing_ok=True)
                told.unlink()


def _found(stem: Path) -> tuple[dict[str, Any], dict[str, OnDisk]]:
    """Return what is known of a prepared case, and its arrays."""
    known = json.loads(stem.with_suffix(".json").read_text("utf-8"))
    return known, {name: OnDisk(stem.with_suffix(f".{name}.npy")) for name in known["arrays"]}


def scaled_templates(templates: dict[Sequence, Volume]) -> dict[Sequence, Volume]:
    """Return templates in 0…1 by the range of their whole volume, as the pretraining uses them."""
    result = {}
    for sequence, volume in templates.items():
        low, high = float(volume.data.min()), float(volume.data.max())
        result[sequence] = Volume((volume.data - low) / max(high - low, 1e-9), volume.affine)
    return result


def _fill(
    templates: dict[Sequence, Volume], sequences: tuple[Sequence, ...], prepared: Prepared
) -> np.ndarray:
    """Return the templates on a case's working grid, (C, X, Y, Z) float16.

    A study in the templates' own space (SRI24) is met in place; any other with its brain's box in their middle.
    """
    world = np.eye(4)
    if prepared.reference.shape != _SRI24_SHAPE:
        world[:3, 3] = middle_of(next(iter(templates.values()))) - middle_of(prepared.grid)
    return np.stack([resample(templates[s], prepared.grid, world) for s in sequences]).astype(np.float16)


def read_templates(folder: Path, sequences: tuple[Sequence, ...]) -> dict[Sequence, Volume] | None:
    """Return the templates that lie beside an encoder's weights, or None if one of them is not there."""
    paths = {sequence: folder / "templates" / f"{sequence}.nii.gz" for sequence in sequences}
    if not all(path.is_file() for path in paths.values()):
        return None
    return {sequence: read_volume(path) for sequence, path in paths.items()}


def to_tensor(array: np.ndarray | OnDisk) -> torch.Tensor:
    """Return a copy of a part of an array on disk as float32 (or as labels, uint8)."""
    copied = np.array(array)
    return torch.from_numpy(copied).float() if copied.dtype == np.float16 else torch.from_numpy(copied)
