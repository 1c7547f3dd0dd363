"""Classification: the library's classifier as a MONAI Label task."""

import time
from threading import Lock
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.utils.others.generic import device_list

from brainmvp.classify import StudyClassifier
from brainmvp.modelstore import ModelStore
from brainmvp.tasks import Task, downstream_names, get_task, own_names
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.fetched import fetch
from brainmvp_app.infer import TURN, device_of
from brainmvp_app.recent import Recent


class ClassificationTask(InferTask):
    """Says how probable each class of a task is in a study; there once a model for the task is in the store."""

    def __init__(self, task: Task, datastore: StudyDatastore, device: str = "auto") -> None:
        super().__init__(
            type=InferType.CLASSIFICATION,
            labels={c.name: position for position, c in enumerate(task.classes)},
            dimension=3,
            description=task.title,
            config={"device": device_list()},
        )
        self.task = task
        self.recent = Recent()
        self._datastore = datastore
        self._device = device
        self._loaded: dict[
            str, tuple[str, StudyClassifier]
        ] = {}  # by device: the version's name, and the model
        self._loading = Lock()

    def info(self) -> dict[str, Any]:
        """Return what clients learn of the model, with the sequences that it takes and those it cannot do without."""
        return super().info() | {
            "sequences": [str(sequence) for sequence in self.task.sequences],
            "minimum": [[str(sequence) for sequence in alternative] for alternative in self.task.minimum],
        }

    def is_valid(self) -> bool:
        """Tell whether there is a model for the task."""
        return bool(ModelStore().versions(self.task.name))

    def __call__(self, request: dict[str, Any]) -> tuple[None, dict[str, Any]]:
        """Classify the study whose id is `request["study"]`; return no file, and the facts with the probabilities.

        Raises `BrainMVPError` if the study or device cannot be used.
        """
        begin = time.perf_counter()
        study, _ = self._datastore.find(request["study"])
        device = device_of(request.get("device"), self._device)
        fetch(study, self.task.sequences)
        with TURN.of_client():
            result = self._classifier(device).classify(study)
        return None, result.report() | {"latencies": {"total": round(time.perf_counter() - begin, 3)}}

    def _classifier(self, device: str) -> StudyClassifier:
        with self._loading:
            model = ModelStore().resolve(self.task.name)
            name, classifier = self._loaded.get(device, (None, None))
            if classifier is None or name != model.card.id:
                classifier = StudyClassifier(model, device)
                self._loaded[device] = (model.card.id, classifier)
            return classifier


def classification_tasks() -> list[Task]:
    """Return every task that classifies, published or one's own."""
    tasks = [get_task(name) for name in (*downstream_names(), *own_names())]
    return [task for task in tasks if task.kind == "classification"]
