"""Inference: the library's segmenter as a MONAI Label task."""

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Condition, Lock
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.utils.others.generic import device_list, device_map

from brainmvp.modelstore import ModelStore
from brainmvp.segment import Segmenter
from brainmvp.segmentation import Segmentation
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import FetchedImages, as_dicom, fetch
from brainmvp_app.recent import Recent

logger = logging.getLogger(__name__)

DICOM_SEG = ".dcm"
RESULT_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", DICOM_SEG)


class _Turn:
    """One inference at a time: two would share the same cores or GPU, take as long, and need twice the memory.

    Work in the background begins only while no client runs one or waits.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._clients = 0
        self._idle = Condition()

    @contextmanager
    def of_client(self) -> Iterator[None]:
        with self._idle:
            self._clients += 1
        try:
            with self._lock:
                yield
        finally:
            with self._idle:
                self._clients -= 1
                self._idle.notify_all()

    @contextmanager
    def of_background(self) -> Iterator[None]:
        with self._idle:
            self._idle.wait_for(lambda: self._clients == 0)
        with self._lock:
            yield


TURN = _Turn()


class SegmentationTask(InferTask):
    """Segments a study with the model that is served for a task.

    The version that a request begins with is the one it ends with; a request after a change of the served version
    gets the new one, without a restart.
    """

    def __init__(self, task: Task, datastore: StudyDatastore, device: str = "auto") -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels={label.name: label.value for label in task.labels},
            dimension=3,
            description=task.title,
            config={"device": device_list(), "result_extension": list(RESULT_SUFFIXES)},
        )
        self.task = task
        self.recent = Recent()
        self._datastore = datastore
        self._device = device
        self._loaded: dict[str, tuple[str, Segmenter]] = {}  # by device: the version's name, and the model
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

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment the study whose id is `request["study"]`; return a temporary label file and the facts about it.

        The label lies on the grid of the image that the id stands for. Raises `BrainMVPError` if the study, device
        or `result_extension` (default .nii.gz) cannot be used.
        """
        begin = time.perf_counter()
        suffix = request.get("result_extension") or RESULT_SUFFIXES[0]
        if suffix not in RESULT_SUFFIXES:
            raise RefusedError(400, f"result_extension has to be one of {', '.join(RESULT_SUFFIXES)}.")
        study, reference = self._datastore.find(request["study"])
        if suffix == DICOM_SEG and not isinstance(study.images, FetchedImages):
            raise RefusedError(
                400, 'DICOM SEG needs DICOM images; ask for "result_extension": ".seg.nrrd" in params.'
            )
        device = device_of(request.get("device"), self._device)
        image = request["study"]
        self.recent.tell(image, "Fetching the images", 0.0)
        try:
            fetch(
                study, (reference, *self.task.sequences)
            )  # before it is anyone's turn: an archive can be slow
            self.recent.tell(image, "Waiting for other inferences", 0.0)
            with TURN.of_client():
                waited = time.perf_counter()
                segmenter = self._segmenter(device)
                loaded = time.perf_counter()
                result = segmenter.segment(
                    study, reference, lambda step, part: self.recent.tell(image, step, part)
                )
        finally:
            self.recent.over(image)
        self.recent.keep(image, result)
        segmented = time.perf_counter()
        file = _write(replace(result, study=as_dicom(study)), suffix)
        written = time.perf_counter()
        seconds = result.seconds | {
            "wait": waited - begin,
            "load": loaded - waited,
            "write": written - segmented,
            "total": written - begin,
        }
        logger.info("%s: %s by %s in %.1f s", study.id, self.task.name, result.model, seconds["total"])
        return file, _facts(result, seconds)

    def background_segmenter(self) -> Segmenter:
        """Return the served model on the server's own device; raises `BrainMVPError` if it cannot be loaded."""
        return self._segmenter(self._device)

    def segment_in_background(self, segmenter: Segmenter, study: Study) -> Segmentation:
        """Segment a study on its reference's grid when no client wants an inference."""
        with TURN.of_background():
            return segmenter.segment(study)

    def _segmenter(self, device: str) -> Segmenter:
        with self._loading:
            model = ModelStore().resolve(self.task.name)
            name, segmenter = self._loaded.get(device, (None, None))
            if segmenter is None or name != model.card.id:
                segmenter = Segmenter(model, device)
                self._loaded[device] = (model.card.id, segmenter)
            return segmenter


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


def _write(result: Segmentation, suffix: str) -> str:
    handle, name = tempfile.mkstemp(prefix=f"{result.task.name}_", suffix=suffix)
    os.close(handle)
    try:
        result.save(Path(name))
    except BaseException:
        os.unlink(name)
        raise
    return name


def _facts(result: Segmentation, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the library's report in the shape that MONAI Label's clients read, with the uncertainty summed up."""
    facts = result.report()
    del facts["seconds"]
    uncertain = float(np.count_nonzero(result.uncertainty > 0.5) * result.labels.voxel_ml)
    return facts | {
        "label_names": {name: value for value, name in result.label_names.items()},
        "uncertainty": {"mean": facts.pop("mean_uncertainty"), "above_half_ml": round(uncertain, 3)},
        "latencies": {step: round(value, 3) for step, value in seconds.items()},
        "centroids": {},
    }
