"""Auto-segment: the study goes to the server, once; a segmentation comes back."""

from __future__ import annotations

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
from .drawn import has_unsent_changes, state_as_imported, state_of
from .errors import Abandoned, ModuleError
from .labelmap import Labelmap, read_labelmap
from .origin import Origin
from .segmentations import import_labels
from .sending import Source, remember, send, settle_copies, study_of
from .session import Session
from .tables import LabelTable, TaskSpec
from .uncertainty import Uncertainty

_POLL_SECONDS = 0.5
_SOURCE = "The server's result"


@dataclass(frozen=True)
class Result:
    """What came back: the server, the image it is of, its facts, the labels, and the same packed for the scene.

    table: of its structures; drawn: the `state_of` its segmentation as it comes; sent: what the server has of each
    volume, by the id of its node; middle: a point of the labels, RAS mm, if there is any; taken: who else has the
    study, in a sentence, if somebody has.
    """

    server: str
    image: str
    facts: dict[str, Any]
    labels: Labelmap
    table: LabelTable
    packed: str
    drawn: str
    sent: dict[str, Origin]
    middle: tuple[float, ...] | None
    taken: str


class Segmenting:
    """Sends studies, and brings results into the scene."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.uncertainty = Uncertainty(session)
        self._warned = ("", "")

    def segment(self) -> None:
        """Segment the study; a segmentation that is there is kept as an earlier version.

        Asks first, once, where it has corrections that were not sent.
        """
        session, state = self.session, self.session.state
        with session.refusing():
            client, task = session.need_client(), session.task
            if task is None:
                raise ModuleError("No model is chosen; connect to a server that offers one.")
            volumes = session.chosen_volumes()
            reference = session.reference()
            if reference is None or not task.accepts(volumes):
                raise ModuleError(task.what_is_missing(volumes) or "No volume is chosen for the study.")
            self._may_set_aside(state.segmentation)
            folder = session.workplace("segment")
            sources = [Source.of(sequence, node) for sequence, node in volumes.items()]
            known_there = state.study if state.server == client.url else ""
            proposed = known_there if state.from_server else ""
            before = known_there if not state.from_server and state.task == task.name else ""
            name, model, annotator = (
                state.study_name or reference[1].GetName(),
                state.model,
                session.annotator,
            )
            volume_id = reference[1].GetID()
            node_name, shape = reference[1].GetName(), reference[1].GetImageData().GetDimensions()[::-1]
            grid = ops.affine(reference[1])

            def work(job: Job) -> Result:
                known = send(client, task, name, sources, folder, job, annotator, proposed)
                image = known[reference[0]].image
                taken = "" if proposed else client.reserve(study_of(image), annotator)
                if before and _went_on(sources, before, study_of(image)):
                    settle_copies(client, before, study_of(image), annotator)
                looked_at = None if task.takes_any_image else list(known)
                answer = _infer(client, model, image, looked_at, folder, job)
                job.report("Reading the result", None)
                labels = read_labelmap(answer.file, grid, shape, _SOURCE, node_name)
                table, packed = _table_of(task, answer.facts), measure.pack(labels.voxels)
                drawn = state_as_imported(labels, table)
                sent = {source.node_id: known[source.sequence] for source in sources}
                middle = measure.middle(labels.voxels, grid)
                return Result(
                    client.url, image, answer.facts, labels, table, packed, drawn, sent, middle, taken
                )

            session.wait_for("Auto-segment", work, lambda result: self._show(task, volume_id, grid, result))

    def _show(self, task: TaskSpec, volume_id: str, grid: np.ndarray, result: Result) -> None:
        session, state = self.session, self.session.state
        reference = session.scene.GetNodeByID(volume_id)
        if reference is None or reference.GetImageData() is None:
            raise ModuleError(
                "The volume that was being segmented is gone; load it again and repeat Auto-segment."
            )
        if not np.allclose(ops.affine(reference), grid):
            raise ModuleError("The volume was moved while it was being segmented; repeat Auto-segment.")
        title, table = f"{state.study_name or reference.GetName()} {task.title}", result.table
        segmentation = import_labels(session.scene, result.labels, table, reference, title, _SOURCE)
        kept = self._keep_version(state.segmentation)
        ops.mark(segmentation, state.study_name, "segmentation")
        segmentation.SetAttribute(ops.PROPOSED, result.drawn)
        state.set_segmentation(segmentation.GetID())
        self.uncertainty.forget()
        if not state.from_server:
            remember(session, result.sent, result.server)
        state.task = task.name
        state.facts = {
            **result.facts,
            "image": result.image,
            "table_names": {str(s.value): s.name for s in table.structures},
            "volumes_ml": measure.volumes_ml(result.labels.counts, measure.voxel_ml(grid), table),
        }
        state.proposal = result.packed
        if result.middle is not None:
            views.pass_through(session.scene, result.middle)
        session.said.emit(" ".join(filter(None, [summary(result.facts), result.taken, kept])))
        session.ask_server()  # which may have another version by now

    def _may_set_aside(self, earlier: Any) -> None:
        """Raise `ModuleError`, once, if a segmentation has corrections that were not sent."""
        if earlier is None:
            return
        drawn = earlier.GetID(), state_of(earlier)
        if has_unsent_changes(earlier, drawn[1]) and drawn != self._warned:
            self._warned = drawn
            raise ModuleError(
                f"{earlier.GetName()} has corrections that were not submitted, and would be set aside; submit it or "
                "keep it as a draft first. To go on without, press Auto-segment again."
            )

    def _keep_version(self, earlier: Any) -> str:
        """Set a segmentation aside, hidden; return what to tell of it."""
        if earlier is None:
            return ""
        number = 1 + sum(
            node.GetAttribute(ops.ROLE) == "version"
            and node.GetAttribute(ops.STUDY) == earlier.GetAttribute(ops.STUDY)
            for node in ops.nodes_of(self.session.scene, "vtkMRMLSegmentationNode")
        )
        earlier.SetAttribute(ops.ROLE, "version")
        earlier.SetName(f"{earlier.GetName()} (version {number})")
        earlier.GetDisplayNode().SetVisibility(False)
        return f"The one before is kept, hidden, as {earlier.GetName()}."


def _went_on(sources: list[Source], before: str, now: str) -> bool:
    """Tell whether volumes of one study at the server are now of another one, as one of them was changed or came."""
    return now != before and any(s.origin is not None and study_of(s.origin.image) == before for s in sources)


def summary(facts: dict[str, Any]) -> str:
    """Say in a sentence what a result is and what is not in it."""
    parts = [f"Segmented by {facts['model']}." if facts.get("model") else "Segmented."]
    flagged = facts.get("sequences_flagged") or {}
    if missing := [name for name in facts.get("sequences_filled") or () if name not in flagged]:
        parts.append(f"Without {', '.join(missing)}.")
    parts.extend(f"{name} is not used, {why}." for name, why in flagged.items())
    if doubt := facts.get("brain_doubt"):
        parts.append(f"Look at the brain: {doubt}.")
    parts.extend((facts.get("left_out") or {}).values())
    if smallest := facts.get("minimum_lesion_ml"):
        parts.append(f"Findings below {smallest:g} mL are not marked.")
    parts.extend(f"{note}." for note in facts.get("notes") or ())
    return " ".join(parts)


def _table_of(task: TaskSpec, facts: dict[str, Any]) -> LabelTable:
    """Return the structures that a result offers, under the names that it gives them."""
    names = {int(v): n for n, v in (facts.get("label_names") or {}).items() if isinstance(v, int) and v > 0}
    return task.table.renamed(names) if names and set(names) <= set(task.table.values) else task.table


def _infer(
    client: Client, model: str, image: str, sequences: list[str] | None, folder: Path, job: Job
) -> Inference:
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
        return client.infer(model, image, folder, received, sequences)
    finally:
        over.set()
