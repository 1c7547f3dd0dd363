"""Training: the library's, as a MONAI Label task in a process of its own."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from threading import Lock
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import tasks

from brainmvp.annotation.plan import Options
from brainmvp.annotation.state import AnnotationState
from brainmvp.annotation.status import TrainingFile, TrainingStatus
from brainmvp.annotation.training import LabelTraining, Outcome
from brainmvp.errors import BrainMVPError
from brainmvp.tasks import Task
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.errors import RefusedError
from brainmvp_app.watch import server_watch

logger = logging.getLogger(__name__)

# What a client may say of a training. MONAI Label takes more from a request, such as folders to find modules in.
_WISHES = ("epochs", "max_epochs", "steps", "seed")
_starting = Lock()  # from the look whether one runs until the new one is known


class FineTuning(TrainTask):
    """Fine-tunes the served model of a task on the final labels, and serves the result if it is not worse."""

    def __init__(self, task: Task, tasks: tuple[Task, ...], state: AnnotationState, device: str) -> None:
        super().__init__(f"{task.title}: fine-tune the served model on the final labels")
        self.task = task
        self._device = device
        self._state = state
        self._training = LabelTraining(state, task, tasks)

    def config(self) -> dict[str, Any]:
        """Return what clients may set, with the defaults: 0 stands for the task's own."""
        return {"epochs": 0, "steps": 0, "seed": 0}

    def check(self, request: dict[str, Any]) -> None:
        """Raise `RefusedError` (400) for a malformed wish, `BrainMVPError` if labels are missing."""
        self._options(request)
        self._training.check_enough()

    def new_labels(self) -> int:
        """Return how many final labels came since the last training; labels may also have gone."""
        own = (e.detail for e in self._state.journal.events("training") if e.task == self.task.name)
        seen = [detail["labels_seen"] for detail in own if "labels_seen" in detail]
        return len(self._training.cases()) - (seen[-1] if seen else 0)

    def __call__(self, request: dict[str, Any], datastore: StudyDatastore) -> dict[str, Any]:
        """Train in this process, which MONAI Label started for it; return the outcome."""
        file = TrainingFile(self._state.studies)
        file.begin()
        server_is_gone = server_watch()

        def should_stop() -> bool:
            return file.stop_wanted() or server_is_gone()

        try:
            seen = self._training.labels_of_run()
            self._note("started", seen=seen)
            outcome = self._run(request, file, should_stop)
            self._note("finished" if outcome.finished else "stopped", outcome.message, seen)
        except Exception as error:
            sentence = str(error) if isinstance(error, BrainMVPError | OSError) else f"A fault: {error!r}."
            self._note("failed", sentence)
            _write(file, TrainingStatus(self.task.name, "failed", sentence))
            raise
        finally:
            file.end()
        return {"finished": outcome.finished, "message": outcome.message, "version": outcome.version}

    def _run(self, request: dict[str, Any], file: TrainingFile, should_stop: Callable[[], bool]) -> Outcome:
        last = TrainingStatus(self.task.name, "preparing", "The labels are read.")
        _write(file, last)

        def tell(status: TrainingStatus) -> None:
            nonlocal last
            if status.epoch != last.epoch or status.state != last.state:
                logger.info("%s: %s", status.model, status.message)
            _write(file, status, at_once=status.state != last.state)
            last = status if status.epoch or not last.epoch else last

        outcome = self._training.run(self._options(request), tell, should_stop)
        logger.info("%s: %s", self.task.name, outcome.message)
        state = "done" if outcome.finished else "stopped"
        _write(file, TrainingStatus(self.task.name, state, outcome.message, last.epoch, last.epochs, last.loss,
                                    last.dice, 0.0 if outcome.finished else None))  # fmt: skip
        return outcome

    def _options(self, request: dict[str, Any]) -> Options:
        wishes = {"epochs": request.get("epochs") or request.get("max_epochs"), "steps": request.get("steps")}
        for name, value in wishes.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise RefusedError(400, f"{name} has to be a whole number, 0 for the task's own.")
        seed = request.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise RefusedError(400, "seed has to be a whole number of 0 or more.")
        return Options(wishes["epochs"] or None, wishes["steps"] or None, seed, self._device)

    def _note(self, what: str, message: str = "", seen: int | None = None) -> None:
        detail: dict[str, Any] = {"state": what, "message": message}
        if seen is not None:
            detail["labels_seen"] = seen
        self._state.journal.add("training", task=self.task.name, detail=detail)


def _write(file: TrainingFile, status: TrainingStatus, at_once: bool = True) -> None:
    """Write the status of a training, which goes on if it cannot be written: hours would be lost for a sentence."""
    try:
        file.write(status, at_once)
    except OSError as error:
        logger.warning("The status of the training cannot be written (%s).", error)


def start_training(trainer: FineTuning, state: AnnotationState, request: dict[str, Any]) -> dict[str, Any]:
    """Start a training in the background and return MONAI Label's task.

    Raises `RefusedError`: 429 if one runs, 400 for a malformed wish; `BrainMVPError` if labels are missing.
    """
    file = TrainingFile(state.studies)
    wishes = {key: request[key] for key in _WISHES if key in request}
    with _starting:
        if file.running() or training_task():
            raise RefusedError(429, "A training runs already; wait for it, or stop it with DELETE /train/.")
        trainer.check(wishes)
        file.announce(trainer.task.name)
        return AsyncTask.run("train", request=wishes | {"model": trainer.task.name}, enqueue=True)[0]


def training_task() -> dict[str, Any] | None:
    """Return MONAI Label's task of the training that runs here, or was started and has no process yet; or None."""
    return next((task for task in tasks("train") if task["status"] in ("SUBMITTED", "RUNNING")), None)


def training_progress(state: AnnotationState) -> dict[str, Any] | None:
    """Return the status of the last training, of this server or one before it, or None."""
    status = TrainingFile(state.studies).read(starting=training_task() is not None)
    return asdict(status) if status else None
