"""The labelled studies of a folder, and which task a study was made for."""

import os
from collections.abc import Iterable
from pathlib import Path

from brainmvp.annotation.journal import Journal
from brainmvp.case import Case
from brainmvp.sequences import IMAGE_SUFFIXES
from brainmvp.study import Study
from brainmvp.tasks import Task


def task_of(study: Study, tasks: tuple[Task, ...]) -> Task | None:
    """Return the task that a study was most likely made for, or None if none of them uses its sequences.

    It is the task that can run, then the one with the largest share of its sequences present, then the one with the
    most: DWI, ADC and FLAIR are a stroke study, T1, T1CE, T2, FLAIR and DWI a tumour study.
    """
    available = set(study.images)

    def fit(task: Task) -> tuple[bool, float, int]:
        present = len(available.intersection(task.sequences))
        return task.accepts(available), present / len(task.sequences), present

    best = max(tasks, key=fit, default=None)
    return best if best and available.intersection(best.sequences) else None


def patient_of(study: str) -> str:
    """Return the patient of a study's id: of a BIDS session `sub-01_ses-02` it is `sub-01`, else the id itself."""
    subject, session, _ = study.partition("_ses-")
    return subject if session and subject.startswith("sub-") else study


def labelled_cases(
    studies: Iterable[Study], root: Path, journal: Journal, task: Task, tasks: tuple[Task, ...]
) -> list[Case]:
    """Return those of some studies whose final label (`labels/final/ID.*` below `root`) is one of a task.

    The task of a label is the one it was submitted for; of a file that nobody submitted, the study's own among
    `tasks`.
    """
    submitted = {event.study: event.task for event in journal.events("final") if event.task}
    cases = []
    for study in studies:
        label = final_label(root, study.id)
        if label is None:
            continue
        own = task_of(study, tasks)
        if submitted.get(study.id, own.name if own else None) == task.name:
            cases.append(Case(study, label, patient=patient_of(study.id)))
    return cases


def label_state(case: Case) -> str:
    """Return a text that changes when a case's label does."""
    status = case.label.stat()
    return f"{case.label.name}:{status.st_size}:{status.st_mtime_ns}"


def final_label(root: Path, study: str) -> Path | None:
    """Return the file of a study's final label in a folder that was served, or None."""
    folder = root / "labels" / "final"
    files = (folder / f"{study}{suffix}" for suffix in (".seg.nrrd", *IMAGE_SUFFIXES))
    return next(filter(os.path.isfile, files), None)  # also where a name is too long to be one
