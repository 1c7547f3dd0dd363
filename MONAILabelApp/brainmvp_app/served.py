"""What every inference task of the app has: the version that is served for it, and what clients learn of it."""

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.utils.others.generic import device_list, device_map

from brainmvp.classify import StudyClassifier
from brainmvp.modelstore import Model, ModelStore
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import only
from brainmvp_app.ids import check_sequences
from brainmvp_app.recent import Recent

Engine = TypeVar("Engine", Segmenter, StudyClassifier)


class ServedTask(InferTask, Generic[Engine]):
    """Runs the model that is served for a task.

    The version that a request begins with is the one it ends with; a request after a change of the served version
    gets the new one, without a restart. engine: what makes a version ready to run.
    """

    def __init__(
        self, engine: Callable[[Model, str], Engine], task: Task, datastore: StudyDatastore, device: str,
        kind: InferType, labels: dict[str, int], config: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(
            type=kind, labels=labels, dimension=3, description=task.title,
            config={"device": device_list(), **config},
        )  # fmt: skip
        self.task = task
        self.recent = Recent()
        self.datastore = datastore
        self.device = device
        self._engine = engine
        self._loaded: dict[str, tuple[str, Engine]] = {}  # by device: the version's name, and the model
        self._loading = Lock()

    def info(self) -> dict[str, Any]:
        """Return what clients learn of the model, also which sequences it needs, and on which a label may lie."""
        return super().info() | {
            "sequences": [str(sequence) for sequence in self.task.sequences],
            "minimum": [[str(sequence) for sequence in alternative] for alternative in self.task.minimum],
            "reference": [str(sequence) for sequence in self.task.reference],
        }

    def is_valid(self) -> bool:
        """Tell whether there is a model for the task."""
        return bool(ModelStore().versions(self.task.name))

    def wanted(self, request: dict[str, Any]) -> tuple[Study, Sequence]:
        """Return the study whose id is `request["study"]`, and the sequence that the id stands for.

        `request["sequences"]` names those that are looked at; all of them where it is None or absent. Raises
        `RefusedError` (404) if there is no such study or sequence.
        """
        study, reference = self.datastore.find(request["study"])
        if request.get("sequences") is None:
            return study, reference
        chosen = check_sequences(request["sequences"])
        if missing := [sequence for sequence in chosen if sequence not in study.images]:
            raise RefusedError(404, study.lacks(missing))
        return only(study, chosen), reference

    def served(self, device: str) -> Engine:
        """Return the served version on a device, loaded once; raises `BrainMVPError` if it cannot be loaded."""
        with self._loading:
            model = ModelStore().resolve(self.task.name)
            name, engine = self._loaded.get(device, (None, None))
            if engine is None or name != model.card.id:
                engine = self._engine(model, device)
                self._loaded[device] = (model.card.id, engine)
            return engine


def device_of(wish: object, default: str) -> str:
    """Return the device for a wish, which may be a name or one of MONAI Label's display names or a list of them."""
    name = wish[0] if isinstance(wish, list) and wish else wish
    # The stock batch call asks for CUDA whether there is one or not.
    if not name or (name == "cuda" and "cpu" in device_map()):
        return default
    known = device_map() | {device: device for device in (*device_map().values(), "cpu", "cuda", "auto")}
    if not isinstance(name, str) or name not in known:
        raise RefusedError(400, f"{name!r} is not a device of this server; use {', '.join(device_list())}.")
    return known[name]
