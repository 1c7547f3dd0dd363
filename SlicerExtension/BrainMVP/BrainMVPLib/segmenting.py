"""Auto-segment: the study goes to the server, once; a segmentation comes back."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import measure, views
from . import scene as ops
from .background import Job
from .client import Client, Inference
from .errors import Abandoned, ModuleError
from .grids import file_affine
from .labelmap import Labelmap, read_labelmap
from .nrrd import write_nrrd
from .segmentations import import_labels
from .session import Session
from .tables import TaskSpec

_POLL_SECONDS = 0.5
_SOURCE = "The server's result"


@dataclass(frozen=True)
class Source:
    """A volume as a thread may handle it: a file that holds it, or its voxels (Z, Y, X) and affine."""

    sequence: str
    file: Path | None
    voxels: np.ndarray | None
    affine: np.ndarray


@dataclass(frozen=True)
class Result:
    """What came back: the image it is of, the server's facts, the labels, and the same packed for the scene.

    sent: where the voxels of the reference's file lie that went up; None where the server had it.
    """

    image: str
    facts: dict[str, Any]
    labels: Labelmap
    packed: str
    sent: np.ndarray | None


class Segmenting:
    """Sends studies, and brings results into the scene."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seconds: dict[str, float] = {}  # of the last run, by step
        self._written: dict[tuple[str, int, int], Path] = {}  # files of volumes that did not change since

    def segment(self) -> None:
        """Segment the study; a segmentation that is there is kept as an earlier version."""
        session, state = self.session, self.session.state
        with session.refusing():
            client, task = session.need_client(), session.task
            if task is None:
                raise ModuleError("No model is chosen; connect to a server that offers one.")
            volumes = session.chosen_volumes()
            reference = session.reference()
            if reference is None or not task.accepts(volumes):
                raise ModuleError(task.what_is_missing(volumes) or "No volume is chosen for the study.")
            begin = time.perf_counter()
            folder = session.workplace("segment")
            image = self._image_at_server(volumes, reference[0])
            sources = (
                [] if image else [self._source(sequence, node, folder) for sequence, node in volumes.items()]
            )
            name, model = state.study_name or reference[1].GetName(), state.model
            volume_id = reference[1].GetID()
            node_name, shape = reference[1].GetName(), reference[1].GetImageData().GetDimensions()[::-1]
            grid = ops.affine(reference[1])
            seconds = {"prepare": time.perf_counter() - begin}

            def work(job: Job) -> Result:
                where, sent = image, None
                if where is None:
                    where, files = self._send(client, task, name, sources, folder, job, seconds)
                    where = where if task.takes_any_image else f"{where}@{reference[0]}"
                    sent = file_affine(files[reference[0]])
                start = time.perf_counter()
                answer = _infer(client, model, where, folder, job)
                seconds["segment and download"] = time.perf_counter() - start
                job.report("Reading the result", None)
                start = time.perf_counter()
                labels = read_labelmap(answer.file, grid, shape, _SOURCE, node_name)
                packed = measure.pack(labels.voxels)
                seconds["read"] = time.perf_counter() - start
                return Result(where, answer.facts, labels, packed, sent)

            def done(result: Result) -> None:
                start = time.perf_counter()
                self._show(task, volume_id, grid, result)
                self.seconds = {
                    **seconds,
                    "show": time.perf_counter() - start,
                    "all": time.perf_counter() - begin,
                }

            session.wait_for("Auto-segment", work, done)

    def _image_at_server(self, volumes: dict[str, Any], reference: str) -> str | None:
        """Return the id under which the server has exactly these volumes, or None."""
        state = self.session.state
        if not state.from_server:
            return None
        has = {
            node.GetAttribute(ops.SEQUENCE)
            for node in ops.nodes_of(self.session.scene, "vtkMRMLScalarVolumeNode")
            if node.GetAttribute(ops.STUDY) == state.study_name and node.GetAttribute(ops.ROLE) == "sequence"
        }
        wanted = has & set(self.session.task.sequences) or has
        same = {
            sequence
            for sequence, node in volumes.items()
            if node.GetAttribute(ops.STUDY) == state.study_name
            and node.GetAttribute(ops.SEQUENCE) == sequence
            and ops.as_at_server(node)
        }
        if same != wanted or set(volumes) != wanted:
            return None
        # The study's own id stands for its reference; the task may have another.
        return volumes[reference].GetAttribute(ops.IMAGE) or state.study

    def _source(self, sequence: str, node: Any, folder: Path) -> Source:
        key = (node.GetID(), node.GetImageData().GetMTime(), node.GetMTime())
        file = ops.file_of(node) or self._written.get(key)
        if file is not None and file.is_file():
            return Source(sequence, file, None, ops.affine(node))
        self._written[key] = folder / f"{sequence.lower()}.nrrd"
        return Source(sequence, None, ops.voxels(node), ops.affine(node))

    def _send(
        self, client: Client, task: TaskSpec, name: str, sources: list[Source], folder: Path, job: Job,
        seconds: dict[str, float],
    ) -> tuple[str, dict[str, Path]]:  # fmt: skip
        """Upload what the server does not have; return the id, which follows from the content, and the files."""
        start = time.perf_counter()
        files: dict[str, Path] = {}
        for number, source in enumerate(sources):

            def written(fraction: float, number: int = number, sequence: str = source.sequence) -> None:
                job.report(f"Packing {sequence}", (number + fraction) / len(sources))

            target = folder / f"{source.sequence.lower()}.nrrd"
            files[source.sequence] = source.file or Path(
                write_nrrd(str(target), source.voxels, source.affine, written)
            )
        sums = {sequence: _sha256(path, job) for sequence, path in files.items()}
        study = study_id(name, sums)
        seconds["pack"] = time.perf_counter() - start
        start = time.perf_counter()
        for number, (sequence, path) in enumerate(files.items()):

            def sent(fraction: float, number: int = number, sequence: str = sequence) -> None:
                job.report(f"Uploading {sequence}", (number + fraction) / len(files))

            image = study if task.takes_any_image else f"{study}@{sequence}"
            if client.checksum(image) == sums[sequence] or client.has_image(image):
                continue  # the id follows from the content: what is there under it is this
            client.upload_image(study, None if task.takes_any_image else sequence, path, sent)
        seconds["upload"] = time.perf_counter() - start
        return study, files

    def _show(self, task: TaskSpec, volume_id: str, grid: np.ndarray, result: Result) -> None:
        session, state = self.session, self.session.state
        reference = session.scene.GetNodeByID(volume_id)
        if reference is None or reference.GetImageData() is None:
            raise ModuleError(
                "The volume that was being segmented is gone; load it again and repeat Auto-segment."
            )
        if not np.allclose(ops.affine(reference), grid):
            raise ModuleError("The volume was moved while it was being segmented; repeat Auto-segment.")
        names = {
            int(v): n
            for n, v in (result.facts.get("label_names") or {}).items()
            if isinstance(v, int) and v > 0
        }
        table = task.table.renamed(names) if names and set(names) <= set(task.table.values) else task.table
        title = f"{state.study_name or reference.GetName()} {task.title}"
        segmentation = import_labels(session.scene, result.labels, table, reference, title, _SOURCE)
        self._keep_version(state.segmentation)
        ops.mark(segmentation, state.study_name, "segmentation", image=result.image)
        state.set_segmentation(segmentation.GetID())
        self._forget_uncertainty()
        if not state.from_server:
            if result.sent is not None:
                ops.note_origin(reference, result.sent)
            state.study = result.image.rpartition("@")[0] or result.image
        state.facts = {
            **result.facts,
            "image": result.image,
            "table_names": {str(s.value): s.name for s in table.structures},
            "volumes_ml": measure.volumes_ml(result.labels.counts, measure.voxel_ml(grid), table),
        }
        state.proposal = result.packed
        session.said.emit(summary(result.facts))

    def _keep_version(self, earlier: Any) -> None:
        if earlier is None:
            return
        number = 1 + sum(
            node.GetAttribute(ops.ROLE) == "version"
            and node.GetAttribute(ops.STUDY) == earlier.GetAttribute(ops.STUDY)
            for node in ops.nodes_of(self.session.scene, "vtkMRMLSegmentationNode")
        )
        earlier.SetAttribute(ops.ROLE, "version")
        earlier.SetName(f"{earlier.GetName()} (version {number})")
        earlier.GetDisplayNode().SetVisibility(False)

    # Uncertainty

    def toggle_uncertainty(self) -> None:
        """Lay the last result's uncertainty over the views, or take it away."""
        session, state = self.session, self.session.state
        with session.refusing():
            volume = state.uncertainty
            if volume is not None:
                shown = volume.GetAttribute("BrainMVP.Shown") == "yes"
                views.overlay(session.scene, None if shown else volume)
                volume.SetAttribute("BrainMVP.Shown", "no" if shown else "yes")
                session.changed.emit()
                return
            client, image, model = session.need_client(), state.facts.get("image"), state.model
            if not image:
                raise ModuleError(
                    "There is no result yet whose uncertainty could be shown; run Auto-segment first."
                )
            target = session.workplace("uncertainty") / "uncertainty.nii.gz"

            def work(job: Job) -> Path:
                return client.uncertainty(model, image, target, lambda part: job.report("Uncertainty", part))

            session.wait_for("Uncertainty", work, self._show_uncertainty)

    def _show_uncertainty(self, path: Path) -> None:
        session, state = self.session, self.session.state
        if state.segmentation is None:
            return
        volume = ops.load_volume(session.scene, path, "Uncertainty")
        reference = session.reference()
        if reference is None or not ops.same_grid(volume, reference[1]):
            ops.remove(session.scene, volume)
            raise ModuleError("The uncertainty is that of another image; run Auto-segment again.")
        ops.mark(volume, state.study_name, "uncertainty")
        display = volume.GetDisplayNode()
        display.SetAndObserveColorNodeID(views.color_of_uncertainty(session.scene).GetID())
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetApplyThreshold(True)
        display.SetThreshold(0.05, 1.0)
        state.set_uncertainty(volume.GetID())
        volume.SetAttribute("BrainMVP.Shown", "yes")
        views.overlay(session.scene, volume)

    def _forget_uncertainty(self) -> None:
        volume = self.session.state.uncertainty
        if volume is not None:
            views.overlay(self.session.scene, None)
            self.session.state.set_uncertainty(None)
            ops.remove(self.session.scene, volume)


def study_id(name: str, sums: dict[str, str]) -> str:
    """Return the id of a study that goes up: its name as the server allows it, and a hash of its content."""
    content = hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "study"
    return f"{readable}-{content}"


def summary(facts: dict[str, Any]) -> str:
    """Say in a sentence what a result is and what is not in it."""
    parts = [f"Segmented by {facts['model']}." if facts.get("model") else "Segmented."]
    if facts.get("sequences_filled"):
        parts.append(f"Without {', '.join(facts['sequences_filled'])}.")
    parts.extend((facts.get("left_out") or {}).values())
    return " ".join(parts)


def _infer(client: Client, model: str, image: str, folder: Path, job: Job) -> Inference:
    """Run the inference, telling meanwhile what the server says it does."""
    over = threading.Event()

    def watch() -> None:
        begin = time.monotonic()
        while not over.wait(_POLL_SECONDS):
            told = client.progress(model, image)
            step, fraction = told or (f"The server is segmenting, {time.monotonic() - begin:.0f} s", None)
            try:
                job.report(step, fraction)
            except Abandoned:
                return

    job.report("The server is segmenting", None)
    threading.Thread(target=watch, name="BrainMVP progress", daemon=True).start()

    def received(fraction: float) -> None:
        over.set()
        job.report("Downloading the result", fraction)

    try:
        return client.infer(model, image, folder, received)
    finally:
        over.set()


def _sha256(path: Path, job: Job) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            job.report("Comparing with the server", None)
            digest.update(block)
    return digest.hexdigest()
