"""Works out, in the background, what the strategies need to know about the studies."""

import atexit
import errno
import logging
import re
import time
from threading import Event, Thread

import numpy as np
import torch

from brainmvp.annotation.cases import task_of
from brainmvp.annotation.scores import Basis, Scores
from brainmvp.device import pick_device
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.segment import Segmenter
from brainmvp.selection import Facts
from brainmvp.selection.embed import Embedder, choose_encoder
from brainmvp.selection.uncertainty import region_entropies
from brainmvp.study import Study, images_state
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.fetched import fetch
from brainmvp_app.infer import SegmentationTask
from brainmvp_app.inference_turn import TURN
from brainmvp_app.pacs import ArchiveError

logger = logging.getLogger(__name__)

# How often to look for new studies and models when there is nothing to do, seconds.
_LOOK_EVERY = 5.0
# What is no study's fault: an archive that is away, a disk or memory that is full. Tried again after so long, seconds.
_ASK_AGAIN = 300.0
_OF_THE_MOMENT = (ArchiveError, MemoryError, torch.OutOfMemoryError)
_OF_THE_FILE = (None, errno.ENOENT, errno.EISDIR, errno.ENOTDIR)  # what is damaged has no number at all
# What PyTorch's and ITK's allocators say, which raise plain errors.
_NO_MEMORY = re.compile(r"allocate memory|not enough memory", re.IGNORECASE)
_END_SECONDS = 10.0


class Scorer(Thread):
    """Scores one study after the other, those without a label first; a study again only if it or the model changed.

    It gives way to the requests of clients between two studies. Of an archive it fetches every study.
    """

    def __init__(
        self, datastore: StudyDatastore, scores: Scores, infers: dict[str, SegmentationTask], device: str
    ) -> None:
        super().__init__(name="scorer", daemon=True)
        self._datastore = datastore
        self._scores = scores
        self._infers = infers
        self._device = device
        self._embedder: Embedder | None = None
        self._not_before: dict[str, float] = {}  # by study with a fault of the moment: when to try again
        self._stopped = Event()

    def start(self) -> None:
        """Score from now on, until Python ends: a thread that is cut off inside PyTorch would take it down."""
        super().start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """End after the study at hand, and wait for that, but not for ever."""
        self._stopped.set()
        self.join(_END_SECONDS)

    def run(self) -> None:
        """Score until stopped. No fault of a study, a model or the disk ends it."""
        said = ""
        while not self._stopped.is_set():
            try:
                worked = self._score_one()
            except Exception as error:
                worked = False
                if str(error) != said:
                    said = str(error)
                    logger.warning("Studies cannot be scored: %s", said, exc_info=_unexpected(error))
            if not worked:
                self._stopped.wait(_LOOK_EVERY)

    def _score_one(self) -> bool:
        """Score the next study that needs it; return whether there was one."""
        with self._datastore.turns.take():
            labelled = set(self._datastore.get_labeled_images())
            studies = list(self._datastore.catalogue.studies.values())
        studies.sort(key=lambda each: (each.id in labelled, each.id))
        trouble: Exception | None = None
        for name, infer in self._infers.items():
            try:
                if infer.is_valid() and self._score_next(name, infer, studies):
                    return True
            except Exception as error:  # a damaged model is no study's fault, nor another task's
                trouble = trouble or error
        if trouble:
            raise trouble
        return False

    def _score_next(self, name: str, infer: SegmentationTask, studies: list[Study]) -> bool:
        store = ModelStore()
        model, encoder = store.resolve(name), choose_encoder(store, name)
        known, versions = self._scores.bases(name), (model.card.identity, encoder.card.identity)
        for study in studies:
            task = task_of(study, self._datastore.tasks)
            if task is None or task.name != name:
                continue
            basis = Basis(images_state(study), *versions)
            if known.get(study.id) != basis and self._not_before.get(study.id, 0.0) < time.monotonic():
                self._score(study, infer.served(infer.device), infer, encoder, basis)
                return True
        return False

    def _score(
        self, study: Study, segmenter: Segmenter, infer: SegmentationTask, encoder: Model, basis: Basis
    ) -> None:
        embedder = self._embedder_of(encoder)
        facts, problem = Facts(study.id), None
        try:
            try:
                fetch(study, (*infer.task.sequences, *encoder.card.sequences))  # before it is anyone's turn
                with TURN.of_background():
                    prepared = segmenter.prepare(study)
                    result = segmenter.segment(study, prepared=prepared)
                entropy = region_entropies(result.probabilities, result.labels.voxel_ml)
                if basis.encoder == segmenter.card.identity:
                    embedding = embedder.describe(prepared.images)
                else:
                    embedding = self._kept(study, infer.task.name, basis)
                    embedding = embedder.embed(study) if embedding is None else embedding
                facts = Facts(study.id, embedding, entropy)
                basis = Basis(basis.files, segmenter.card.identity, basis.encoder)
            except Exception as error:  # said by inference, too, when someone opens the study
                if _passes(error):
                    raise
                problem = str(error)
                logger.warning("%s is not scored: %s", study.id, error, exc_info=_unexpected(error))
            self._scores.store(facts, infer.task.name, basis, problem)
        except Exception:
            self._not_before[study.id] = time.monotonic() + _ASK_AGAIN
            raise
        if problem is None:
            logger.info("%s is scored for %s by %s", study.id, infer.task.name, segmenter.card.id)

    def _kept(self, study: Study, task: str, basis: Basis) -> np.ndarray | None:
        """Return the embedding that is known where only the model has changed since."""
        last = self._scores.bases(task).get(study.id)
        if last is None or (last.files, last.encoder) != (basis.files, basis.encoder):
            return None
        return self._scores.facts(task)[study.id].embedding

    def _embedder_of(self, model: Model) -> Embedder:
        if self._embedder is None or self._embedder.id != model.card.id:
            self._embedder = Embedder(model, pick_device(self._device))
        return self._embedder


def _passes(error: BaseException | None) -> bool:
    """Tell whether an error, or one behind it, is of the moment and no study's fault."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno not in _OF_THE_FILE:
        return True
    return (
        isinstance(error, _OF_THE_MOMENT) or bool(_NO_MEMORY.search(str(error))) or _passes(error.__cause__)
    )


def _unexpected(error: Exception) -> bool:
    """Tell whether an error is none that a sentence explains, so that the log needs more."""
    return not isinstance(error, BrainMVPError | OSError)
