"""What is wrong with labels, in sentences by place: part of what `GET /datastore/` answers."""

from collections.abc import Mapping

from monailabel.datastore.local import ImageLabelModel
from monailabel.interfaces.datastore import DefaultLabelTag

from brainmvp.annotation.cases import came_late, noted_sequences, task_of
from brainmvp.case import Case
from brainmvp.study import Study
from brainmvp.tasks import Task

_FINAL = DefaultLabelTag.FINAL.value


def outgrown_labels(
    studies: Mapping[str, Study], notes: Mapping[str, ImageLabelModel], tasks: tuple[Task, ...]
) -> dict[str, str]:
    """Return the final labels that were drawn before a sequence came that shows more; notes: by study."""
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
                f"{' and '.join(late)} came after the label was drawn, so {titles} are left out of training and tests; "
                "look at the study again and submit its label once more."
            )
    return problems
