"""Inference: the library's segmenter as a MONAI Label task."""

import logging
import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferType

from brainmvp.brain import BUILT_IN
from brainmvp.segment import Segmenter
from brainmvp.segmentation import Segmentation
from brainmvp.tasks import Task
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import as_found, fetch, is_dicom
from brainmvp_app.ids import image_id
from brainmvp_app.inference_turn import TURN
from brainmvp_app.served import ServedTask, device_of
from brainmvp_app.temporary import written

logger = logging.getLogger(__name__)

DICOM_SEG = ".dcm"
RESULT_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", DICOM_SEG)


class SegmentationTask(ServedTask[Segmenter]):
    """Segments a study with the model that is served for a task."""

    def __init__(
        self, task: Task, datastore: StudyDatastore, device: str = "auto", brain: str = BUILT_IN
    ) -> None:
        labels = {label.name: label.value for label in task.labels}
        config = {"result_extension": list(RESULT_SUFFIXES)}
        engine = partial(Segmenter, brain=brain)
        super().__init__(engine, task, datastore, device, InferType.SEGMENTATION, labels, config)

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment the study whose id is `request["study"]`; return a temporary label file and the facts about it.

        The label lies on the grid of the image that the id stands for; `request["sequences"]`: see `wanted`. Raises
        `BrainMVPError` if the study, device or `result_extension` (default .nii.gz) cannot be used.
        """
        begin = time.perf_counter()
        image, suffix = request["study"], request.get("result_extension") or RESULT_SUFFIXES[0]
        if suffix not in RESULT_SUFFIXES:
            raise RefusedError(400, f"result_extension has to be one of {', '.join(RESULT_SUFFIXES)}.")
        study, reference = self.wanted(request)
        if reference not in study.images:
            other = image_id(study.id, next(iter(study.images)))
            raise RefusedError(
                400,
                f"The result would lie on {reference}, which sequences leaves out; ask with image={other}.",
            )
        if suffix == DICOM_SEG and not is_dicom(study):
            raise RefusedError(
                400, 'DICOM SEG needs DICOM images; ask for "result_extension": ".seg.nrrd" in params.'
            )
        device = device_of(request.get("device"), self.device)
        self.recent.tell(image, "Fetching the images", 0.0)
        try:
            # Before it is anyone's turn: an archive can be slow.
            fetch(study, (reference, *self.task.sequences))
            self.recent.tell(image, "Waiting for other inferences", 0.0)
            with TURN.of_client():
                waited = time.perf_counter()
                segmenter = self.served(device)
                loaded = time.perf_counter()
                result = segmenter.segment(
                    study, reference, lambda step, part: self.recent.tell(image, step, part)
                )
        finally:
            self.recent.over(image)
        self.recent.keep(image, result)
        segmented = time.perf_counter()
        file = _write(replace(result, study=as_found(study)), suffix)
        written = time.perf_counter()
        seconds = result.seconds | {
            "wait": waited - begin,
            "load": loaded - waited,
            "write": written - segmented,
            "total": written - begin,
        }
        logger.info("%s: %s by %s in %.1f s", study.id, self.task.name, result.model, seconds["total"])
        return file, _facts(result, seconds)


def _write(result: Segmentation, suffix: str) -> str:
    return str(written(f"{result.task.name}_", suffix, result.save))


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
