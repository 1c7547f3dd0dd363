"""The final labels of a folder that was served for annotation, for its index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from brainmvp.annotation.cases import came_late, final_label, noted_sequences
from brainmvp.annotation.database import Database
from brainmvp.annotation.held_out import HeldOut, held_out_tasks, read_held_out
from brainmvp.annotation.journal import Event, Journal
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN, readable
from brainmvp.given_ids import GivenIds
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence, strip_suffix
from brainmvp.study import Study
from brainmvp.tasks import Task, get_task

LABELS = "labels"


def was_served(root: Path) -> bool:
    """Tell whether the `labels` of a folder are those of an annotation, and not of a data set."""
    return (root / HIDDEN).is_dir() or (root / LABELS / "final").is_dir()


def held_out_sets(root: Path, task: Task | None) -> list[HeldOut]:
    """Return the patients whom the annotation of a folder holds out, by task: of those with a task's labels, or of all.

    Raises `BrainMVPError` if one of the files is damaged.
    """
    names = held_out_tasks(root)
    wanted = [name for name in names if not (task and task.labels) or _has_labels_of(name, task)]
    return [found for name in wanted if (found := read_held_out(root, name))]


class FinalLabels:
    """The files `labels/final/STUDY.*` below a folder, each given to one visit.

    task: what they are to teach. Labels that were submitted for a task with other labels do not count; without a
    task, none counts where they were submitted for several. `notes` says in sentences what was left out, and why.
    """

    def __init__(self, root: Path, task: Task | None) -> None:
        self._root, self._ids = root, GivenIds(root)
        self._unused = set(_labelled(root / LABELS / "final"))
        self._submitted = _submitted(root, self._unused)
        submitted = {study: event.task for study, event in self._submitted.items()}
        counts = Counter(submitted.values())
        self.notes: list[str] = []
        if task and task.labels:
            wrong = {name for name in counts if not _has_labels_of(name, task)}
        else:
            wrong = set(counts) if len(counts) > 1 else set()
        if wrong:
            shown = ", ".join(f"{counts[name]} of {name}" for name in sorted(wrong))
            remedy = "" if task and task.labels else "; add --task for those of one"
            self.notes.append(f"Left out final labels by their task ({shown}){remedy}.")
            self._unused -= {study for study, name in submitted.items() if name in wrong}

    def take(
        self, studies: Mapping[str, Path], images: Mapping[Sequence, str]
    ) -> tuple[str, list[Sequence]] | None:
        """Return the label of a visit, relative to the root, and what came after it and shows more; None without one.

        studies: the visit's folders by what a server calls them: another one of the name gets no label; images: by
        sequence, relative to the root.
        """
        files = {sequence: self._root / file for sequence, file in images.items()}
        named = (name for name in studies if name in self._unused)
        study = next((name for name in named if self._ids.fits(name, studies[name], files)), None)
        label = final_label(self._root, study) if study else None
        self._unused.discard(study)
        return (label.relative_to(self._root).as_posix(), self._late(study, images)) if label else None

    def _late(self, study: str, sequences: Iterable[Sequence]) -> list[Sequence]:
        event = self._submitted.get(study)
        drawn_with = noted_sequences(event.detail.get("sequences")) if event else None
        case = Case(Study(study, self._root, dict.fromkeys(sequences, self._root)), drawn_with=drawn_with)
        try:
            return came_late(get_task(event.task), case)[0] if event else []
        except BrainMVPError:  # a task of then
            return []

    def unused(self) -> list[str]:
        """Return the studies whose label no visit has taken."""
        return sorted(self._unused)


def _labelled(folder: Path) -> list[str]:
    names = [path.name for path in folder.glob("*") if path.name.lower().endswith(IMAGE_SUFFIXES)]
    return [strip_suffix(n).removesuffix(".seg") for n in names if not n.startswith(".") and readable(n) == n]


def _submitted(root: Path, studies: set[str]) -> dict[str, Event]:
    """Return when the label of a study was last submitted for a task, where somebody submitted it."""
    if not (root / HIDDEN).is_dir():
        return {}
    events = Journal(Database(root)).events("final")
    return {event.study: event for event in events if event.study in studies and event.task}


def _has_labels_of(name: str, task: Task) -> bool:
    try:
        return name == task.name or get_task(name).labels == task.labels
    except BrainMVPError:  # a task of then
        return False
