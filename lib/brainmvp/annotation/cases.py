"""The labelled studies of a folder, and which task a study was made for."""

import os
from collections.abc import Iterable
from pathlib import Path

from brainmvp.annotation.journal import Journal
from brainmvp.case import Case
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence
from brainmvp.study import Study, images_state
from brainmvp.tasks import Region, Task

# How the names of labels end; of several files of one label the first counts.
LABEL_SUFFIXES = (".seg.nrrd", *IMAGE_SUFFIXES)


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
    `tasks`. So is it told which sequences it was drawn with.
    """
    submitted = {event.study: event for event in journal.events("final") if event.task}
    cases = []
    for study in studies:
        label = final_label(root, study.id)
        if label is None:
            continue
        event = submitted.get(study.id)
        own = None if event else task_of(study, tasks)
        if (event.task if event else own and own.name) == task.name:
            drawn_with = noted_sequences(event.detail.get("sequences")) if event else None
            cases.append(Case(study, label, patient=patient_of(study.id), drawn_with=drawn_with))
    return cases


def noted_sequences(noted: list[str] | None) -> frozenset[Sequence] | None:
    """Return the sequences that were noted when a label was submitted; None if none were, as of earlier labels."""
    return None if noted is None else frozenset(sequence for sequence in Sequence if sequence in noted)


def came_late(task: Task, case: Case) -> tuple[list[Sequence], list[Region]]:
    """Return the sequences that a study got after its label was drawn, and the regions that only they show."""
    known = task.offered(case.looked_at)[0]
    regions = [region for region in task.offered(set(case.study.images))[0] if region not in known]
    needed = {sequence for region in regions for sequence in region.requires} - case.looked_at
    return [sequence for sequence in task.sequences if sequence in needed], regions


def label_state(case: Case) -> str:
    """Return a text that changes when a case's label does."""
    status = case.label.stat()
    return f"{case.label.name}:{status.st_size}:{status.st_mtime_ns}"


def case_state(case: Case) -> str:
    """Return a text that changes when a case's label does, its images, or what the label was drawn with."""
    return f"{label_state(case)} {' '.join(sorted(case.looked_at))} {images_state(case.study)}"


def final_label(root: Path, study: str) -> Path | None:
    """Return the file of a study's final label in a folder that was served, or None."""
    folder = root / "labels" / "final"
    files = (folder / f"{study}{suffix}" for suffix in LABEL_SUFFIXES)
    return next(filter(os.path.isfile, files), None)  # also where a name is too long to be one
