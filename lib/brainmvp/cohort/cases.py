"""The labelled studies of a cohort's index, as cases of a task."""

from collections.abc import Sequence

from brainmvp.case import Case
from brainmvp.cohort.index import Index, Session
from brainmvp.errors import BrainMVPError
from brainmvp.tasks import Task


def cases_of(index: Index, task: Task) -> tuple[list[Case], list[str]]:
    """Return every study of the index that the task can learn from, and in sentences which ones it cannot, and why.

    Raises `BrainMVPError` if there is none, or a file is not where the index says.
    """
    sessions, reasons = usable(index, task)
    if not sessions:
        why = "; ".join(f"{listed(ids)}: {reason}" for reason, ids in reasons.items())
        raise BrainMVPError(f"{index.root} has no labelled study for {task.name} ({why}).")
    cases = []
    for session in sessions:
        study = index.study(session)
        label = study.label if task.kind == "segmentation" else None
        cases.append(Case(study, label, session.label, session.patient))
    return cases, [f"Left out {listed(ids)}: {reason}." for reason, ids in reasons.items()]


def usable(index: Index, task: Task) -> tuple[list[Session], dict[str, list[str]]]:
    """Return the sessions that the task can learn from, and by reason the ids of the others. Files are not opened."""
    sessions: list[Session] = []
    reasons: dict[str, list[str]] = {}
    keys = {c.key for c in task.classes}
    for session in index.sessions:
        if keys and session.label is None:
            reason = "no class (`brainmvp index --table` reads them from a table)"
        elif not keys and session.segmentation is None:
            reason = "no label map (such as patient_seg.nii.gz beside the images)"
        elif not task.accepts(set(session.sequences)):
            reason = f"no {task.needed}, which {task.name} needs"
        elif keys and session.label not in keys:
            reason = f"of class '{session.label}', and {task.name} knows {', '.join(sorted(keys))}"
        else:
            sessions.append(session)
            continue
        reasons.setdefault(reason, []).append(session.id)
    return sessions, reasons


def held_out(index: Index) -> set[str]:
    """Return the patients that the index holds out for the test."""
    return {session.patient for session in index.sessions if session.split == "test"}


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
