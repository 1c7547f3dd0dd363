"""The labelled studies of a cohort's index, as cases of a task."""

from brainmvp.case import Case
from brainmvp.cohort import Index
from brainmvp.errors import BrainMVPError
from brainmvp.tasks import Task


def cases_of(index: Index, task: Task) -> tuple[list[Case], list[str]]:
    """Return every study of the index that the task can learn from, and in sentences which ones it cannot, and why.

    Raises `BrainMVPError` if there is none, or a file or class is not what the index says.
    """
    cases, notes = [], []
    wanted = "label map" if task.kind == "segmentation" else "class"
    keys = {c.key for c in task.classes}
    for session in index.sessions:
        if (session.segmentation if task.kind == "segmentation" else session.label) is None:
            notes.append(f"{session.id} has no {wanted}: left out.")
        elif not task.accepts(set(session.sequences)):
            needed = " or ".join("+".join(alternative) for alternative in task.minimum)
            notes.append(f"{session.id} has no {needed}, which {task.name} needs: left out.")
        elif keys and session.label not in keys:
            notes.append(
                f"{session.id} is of class '{session.label}', which the {task.name} task does not ask for."
            )
        else:
            study = index.study(session)
            label = study.label if task.kind == "segmentation" else None
            cases.append(Case(study, label, session.label, session.patient))
    if not cases:
        reason = notes[0] if notes else "it lists no study."
        raise BrainMVPError(f"{index.root} has no labelled study for {task.name}: {reason}")
    return cases, notes


def held_out(index: Index) -> set[str]:
    """Return the patients that the index holds out for the test."""
    return {session.patient for session in index.sessions if session.split == "test"}
