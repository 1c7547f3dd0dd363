"""Classification: the library's classifier as a MONAI Label task."""

import time
from functools import partial
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferType

from brainmvp.brain import BUILT_IN
from brainmvp.classify import StudyClassifier
from brainmvp.tasks import Task, downstream_names, get_task, own_names
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.fetched import fetch
from brainmvp_app.inference_turn import TURN
from brainmvp_app.served import ServedTask, device_of


class ClassificationTask(ServedTask[StudyClassifier]):
    """Says how probable each class of a task is in a study; there once a model for the task is in the store."""

    def __init__(
        self, task: Task, datastore: StudyDatastore, device: str = "auto", brain: str = BUILT_IN
    ) -> None:
        labels = {c.name: position for position, c in enumerate(task.classes)}
        engine = partial(StudyClassifier, brain=brain)
        super().__init__(engine, task, datastore, device, InferType.CLASSIFICATION, labels, {})

    def __call__(self, request: dict[str, Any]) -> tuple[None, dict[str, Any]]:
        """Classify the study whose id is `request["study"]`; return no file, and the facts with the probabilities.

        Raises `BrainMVPError` if the study or device cannot be used.
        """
        begin = time.perf_counter()
        study, _ = self.wanted(request)
        device = device_of(request.get("device"), self.device)
        fetch(study, self.task.sequences)
        with TURN.of_client():
            result = self.served(device).classify(study)
        return None, result.report() | {"latencies": {"total": round(time.perf_counter() - begin, 3)}}


def classification_tasks() -> list[Task]:
    """Return every task that classifies, published or one's own."""
    tasks = [get_task(name) for name in (*downstream_names(), *own_names())]
    return [task for task in tasks if task.kind == "classification"]
