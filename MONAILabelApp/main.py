"""The MONAI Label app of BrainMVP: `monailabel start_server --app MONAILabelApp --studies DIR`, or run this file."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from brainmvp import __version__
from brainmvp.annotation.state import AnnotationState
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.serve import is_archive
from brainmvp_app.alone import hold
from brainmvp_app.annotator import annotator_of, seconds_of
from brainmvp_app.batch import BatchInference
from brainmvp_app.choice import Chooser
from brainmvp_app.classify import ClassificationTask, classification_tasks
from brainmvp_app.conf import Conf
from brainmvp_app.datastore import DRAFT, StudyDatastore
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_sequences, check_tag
from brainmvp_app.infer import DICOM_SEG, SegmentationTask
from brainmvp_app.pacs_store import PacsDatastore, archive_folder
from brainmvp_app.scorer import Scorer
from brainmvp_app.strategies import make_strategies
from brainmvp_app.training import FineTuning, start_training
from brainmvp_app.watch import leave_number
from brainmvp_app.web import install

logger = logging.getLogger(__name__)

# Most requests at a time, one thread each; the stock 40 may all be inferences that wait for their turn.
_REQUESTS = 400


class BrainMVPApp(MONAILabelApp):
    """Multi-sequence MRI studies of a folder or a DICOMweb archive, segmented by the models `tumour` and `stroke`.

    conf: see `brainmvp_app.conf.Conf`.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.chosen = Conf.read(conf)
        self.tasks = self.chosen.tasks
        self.state = AnnotationState(
            _folder(studies), self.chosen.lease_seconds, lambda: self._datastore.studies()
        )
        server = sys.modules.get("monailabel.app")
        if server:  # absent in the processes that MONAI Label starts for long tasks
            self._lock = hold(_folder(studies))
            leave_number()
        # Sessions keep single uploaded files outside the datastore, and unpack archives unchecked.
        settings.MONAI_LABEL_SESSIONS = False
        # The process that starts a training reads this variable, whether it is there or not.
        os.environ.setdefault("PYTHONPATH", "")
        # MONAI 1.6.1 stops a training that tracks to MLflow's file store, the default.
        settings.MONAI_LABEL_TRACKING_ENABLED = False
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="BrainMVP",
            description="Multi-sequence brain MRI: tumour and stroke segmentation",
            version=__version__,
        )
        if server:
            install(server.app, str(self._datastore.root))
            # Scores need the images of every study: of an archive, all that it holds has to be fetched.
            if settings.MONAI_LABEL_TASKS_SCORING and (not is_archive(studies) or self.chosen.score_archive):
                segmenters = {task.name: self._infers[task.name] for task in self.tasks}
                Scorer(self._datastore, self.state.scores, segmenters, self.chosen.device).start()

    def on_init_complete(self) -> None:
        """Begin to answer, called within the server's loop."""
        super().on_init_complete()
        current_default_thread_limiter().total_tokens = _REQUESTS

    def init_datastore(self) -> StudyDatastore:
        """Return the studies folder, or the archive at a DICOMweb address, as a datastore of studies."""
        if is_archive(self.studies):
            return PacsDatastore(self.studies, self.tasks)
        return StudyDatastore(self.studies, self.tasks)

    def init_infers(self) -> dict[str, InferTask]:
        """Return one inference task per served segmentation, and one per classification."""
        store, device, brain = self._datastore, self.chosen.device, self.chosen.brain
        classify = {t.name: ClassificationTask(t, store, device, brain) for t in classification_tasks()}
        return classify | {t.name: SegmentationTask(t, store, device, brain) for t in self.tasks}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return one training per task."""
        device = self.chosen.device
        return {task.name: FineTuning(task, self.tasks, self.state, device) for task in self.tasks}

    def trainers(self) -> dict[str, FineTuning]:
        """Return the trainings by model."""
        return self._trainers

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the strategies that choose the next study."""
        return make_strategies(Chooser(self._datastore, self.state, self.chosen.seed))

    def init_batch_infer(self) -> Callable[..., Any]:
        """Return the inference over many studies."""
        return BatchInference()

    def infer(self, request: dict[str, Any], datastore: StudyDatastore | None = None) -> dict[str, Any]:
        """Segment the study `request["image"]`, and store the label where `save_label` asks for it.

        Only ids are accepted. The stock method takes any path on the server, and takes an id for a path where the
        working directory holds a file of that name.
        """
        model, image = request.get("model"), request.get("image")
        task = self._infers.get(model) if isinstance(model, str) else None
        if task is None or not task.is_valid():
            names = ", ".join(name for name, task in self._infers.items() if task.is_valid()) or "none"
            raise RefusedError(404, f"There is no model {model!r}; the models are: {names}.")
        if not isinstance(image, str):
            raise RefusedError(400, "Give the id of a study as image.")
        store = datastore or self._datastore
        study, sequence = store.find(image)
        path = str(study.images[sequence])
        tag = request.get("label_tag", DefaultLabelTag.ORIGINAL.value)
        if request.get("save_label"):  # what cannot be stored is refused before the work, not after
            _check_storable(request, task, store, sequence)
        # The stock method runs the task; a path makes it look nothing up.
        result = super().infer(request | {"image": path, "study": image, "save_label": False}, store)
        if request.get("save_label"):
            notes = {"model": model, "task": model, "params": result["params"]}
            notes["sequences"] = request.get("sequences")
            try:
                result |= {"label": store.save_label(study.id, result["file"], tag, notes), "tag": tag}
                if tag == DefaultLabelTag.FINAL.value:
                    _write_down(self.state, store, study.id, tag, notes, annotator_of(request))
                store.hand_on(study.id, Path(result["file"]), tag, notes)
            except BaseException:
                Path(result["file"]).unlink(missing_ok=True)
                raise
        return result

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what `Chooser.choose` does, with the study's information; raises `RefusedError` (404)."""
        strategy = request.get("strategy")
        if not isinstance(strategy, str) or strategy not in self._strategies:
            raise RefusedError(404, f"There is no strategy {strategy!r}; use {', '.join(self._strategies)}.")
        chosen = self._strategies[strategy](request, self._datastore)
        return chosen | self._datastore.get_image_info(chosen["id"]) if "id" in chosen else chosen

    def add_image(self, image: str, file: Path, notes: dict[str, Any]) -> str:
        """Store one sequence of a study, see `StudyDatastore.add_image`, and return the study's id.

        Whoever sends it under a name has the study, if nobody else has: from before its first sequence is here.
        """
        store, annotator = self._datastore, annotator_of(notes) if notes.get("annotator") else ""
        if annotator and image not in store.get_labeled_images():
            self.state.leases.take([image], annotator)
        try:
            return store.add_image(image, str(file), notes)
        except BaseException:
            if image not in store.list_images():
                self.state.leases.forget(image)
            raise

    def submit(self, image: str, file: Path, tag: str, notes: dict[str, Any], user: str = "") -> str:
        """Store an annotator's label, write down who drew it and how long it took, and return the label's id.

        Storing the same again, as a client does that got no answer, changes nothing.
        """
        annotator, seconds = annotator_of(notes, user), seconds_of(notes)
        study = self._datastore.save_label(image, str(file), tag, notes)
        _write_down(self.state, self._datastore, study, tag, notes, annotator, seconds)
        self._datastore.hand_on(study, file, tag, notes)  # last: an archive may be away
        return study

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Start a training if `train_after` final labels came since the last one."""
        for trainer in self._trainers.values() if self.chosen.train_after else ():
            if trainer.new_labels() < self.chosen.train_after:
                continue
            try:
                start_training(trainer, self.state, {})
            except BrainMVPError as error:  # too few yet, or one runs
                logger.info("No training of %s starts by itself: %s", trainer.task.name, error)

    def skip(self, image: str, annotator: str, reason: str) -> str:
        """Put a study behind all others, and return its id; raises `RefusedError` (409) if another has it."""
        study = self._free_study(image, annotator)
        self.state.leases.skip(study, annotator, reason)
        self.state.journal.add("skipped", study=study, annotator=annotator, detail={"reason": reason})
        return study

    def reserve(self, image: str, annotator: str) -> str:
        """Give an annotator a study that they chose; return its id. Raises `RefusedError` (409) if another has it."""
        study = self._free_study(image, annotator)
        if annotator and study not in self._datastore.get_labeled_images():
            self.state.leases.take([study], annotator)
        return study

    def release(self, image: str, annotator: str) -> str:
        """Give a study back, and return its id; raises `RefusedError` (409) if another annotator has it."""
        study = self._free_study(image, annotator)
        self.state.leases.release(study)
        self.state.journal.add("released", study=study, annotator=annotator)
        return study

    def _free_study(self, image: str, annotator: str) -> str:
        study = self._datastore.study(image).id
        lease = self.state.leases.holder(study)
        if lease and lease.annotator != annotator:
            raise RefusedError(409, f"{study} is with {lease.annotator} until {lease.as_json()['expires']}.")
        return study


def _check_storable(
    request: dict[str, Any], task: InferTask, store: StudyDatastore, sequence: Sequence
) -> None:
    """Raise `RefusedError` if the result of an inference, which lies on a sequence, could not be stored as a label."""
    if isinstance(task, ClassificationTask):
        raise RefusedError(
            400, f"{request['model']} gives probabilities, not a label to store; ask without save_label."
        )
    check_tag(request.get("label_tag", DefaultLabelTag.ORIGINAL.value))
    annotator_of(request)
    if request.get("result_extension") == DICOM_SEG:
        raise RefusedError(400, "Labels are stored as images; ask for DICOM SEG without save_label.")
    store.check_lies_on_reference(request["image"])
    wished = request.get("sequences")
    if wished is not None and sequence not in check_sequences(wished):
        raise RefusedError(
            400, f"A label to store lies on {sequence}; name it in sequences, or ask without save_label."
        )


def _write_down(
    state: AnnotationState, store: StudyDatastore, study: str, tag: str, notes: dict[str, Any],
    annotator: str, seconds: float | None = None,
) -> None:  # fmt: skip
    """Note in the journal, and for the leases, that a label was stored: of which task it is, and whose."""
    if tag == DefaultLabelTag.FINAL.value:
        state.leases.forget(study)
    elif tag == DRAFT:
        state.leases.renew(study, annotator)
    if tag in (DefaultLabelTag.FINAL.value, DRAFT):
        detail = {"model": notes.get("model"), "sequences": store.drawn_with(study, tag)}
        task = store.task_of_label(store.study(study), notes).name
        state.journal.add_once(
            tag, task=task, study=study, annotator=annotator, seconds=seconds, detail=detail
        )


def _folder(studies: str) -> Path:
    return archive_folder(studies) if is_archive(studies) else Path(studies).resolve()


if __name__ == "__main__":
    from brainmvp_app.server import main

    main()
