"""What is wrong with labels and held-out patients, in sentences by place: part of what `GET /datastore/` answers."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from monailabel.datastore.local import ImageLabelModel
from monailabel.interfaces.datastore import DefaultLabelTag

from brainmvp.annotation.cases import came_late, noted_sequences, task_of
from brainmvp.annotation.held_out import HeldOut, held_out_path, read_held_out
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.files import readable
from brainmvp.study import Study
from brainmvp.tasks import Task

_FINAL = DefaultLabelTag.FINAL.value


def held_out_sets(root: Path, tasks: tuple[Task, ...]) -> tuple[list[HeldOut], dict[str, str]]:
    """Return the held-out sets of the tasks, and the problems of files that cannot be read."""
    sets, problems = [], {}
    for task in tasks:
        try:
            held_out = read_held_out(root, task.name)
        except BrainMVPError as error:
            problems[_place(task.name)] = str(error).replace(f"{root}{os.sep}", "")
        else:
            sets += [held_out] if held_out else []
    return sets, problems


# What the studies are called that lie in the folder of a study that was there under another id.
CalledNow = Callable[[str], list[str]]


def missing_patients(
    held_out: list[HeldOut], studies: Mapping[str, Study], called_now: CalledNow
) -> dict[str, str]:
    """Return the held-out patients of whom there is no study: under another name they train."""
    return {
        readable(f"{_place(each.task)}: {patient}"): (
            f"This held-out patient has no study here; if it has another name now{_perhaps(called_now(patient))}, give "
            "the old one back or write the new one into this file, or it trains and no test can be trusted."
        )
        for each in held_out
        for patient in each.missing(studies)
    }


def stray_labels(
    labels: Iterable[tuple[str, str]], held_out: list[HeldOut], in_archive: bool, called_now: CalledNow
) -> dict[str, str]:
    """Return the labels, by tag and name, whose study is not there, with what to do."""
    problems = {}
    for tag, name in labels:
        sentence = (
            "The archive has no study of this name any more; if it has another one now, rename the label like it"
            if in_archive
            else "No study has this name; give the study's folder its old name back, or rename the label like it"
        )
        if found := called_now(name):
            sentence = f"Its study has another name now{_perhaps(found)}; rename the label like it"
        if files := [_place(each.task) for each in held_out if each.holds(name)]:
            sentence += f", and write the patient's new name into {' and '.join(files)}, too"
        problems[readable(f"labels/{tag}/{name}")] = f"{sentence}."
    return problems


def _perhaps(names: list[str]) -> str:
    return f" ({' or '.join(names)}, by its folder)" if names else ""


def _place(task: str) -> str:
    return held_out_path(Path(), task).as_posix()


def outgrown_labels(
    studies: Mapping[str, Study], notes: Mapping[str, ImageLabelModel], tasks: tuple[Task, ...]
) -> dict[str, str]:
    """Return the final labels that were drawn without a sequence that shows more; notes: by study."""
    problems = {}
    for study_id, entry in notes.items():
        info = entry.labels[_FINAL].info if _FINAL in entry.labels else {}
        drawn_with, study = noted_sequences(info.get("sequences")), studies[study_id]
        task = next((task for task in tasks if task.name == info.get("task")), None) or task_of(study, tasks)
        if drawn_with is None or task is None:
            continue
        late, regions = came_late(task, Case(study, drawn_with=drawn_with))
        if regions:
            titles = " and ".join(region.title.lower() for region in regions)
            problems[f"labels/final/{study_id}"] = (
                f"The label was drawn without {' and '.join(late)}, so {titles} are left out "
                "of training and tests; look at the study again and submit its label once more, unless that is useless."
            )
    return problems
