"""Submit: final, draft, or skip; a label waits on disk until the server has it."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

import numpy as np

from . import measure, origin
from . import scene as ops
from .background import Job
from .drawn import copy_drawn, state_of
from .errors import ModuleError, ServerError
from .grids import reorder
from .labels import made_on, volume_of_labels
from .measure import Change
from .nrrd import write_nrrd
from .origin import Origin
from .outbox import replaced_in_words
from .segmentations import new_segmentation
from .sending import Source, remember, send
from .session import Session
from .shared import written_ml
from .tables import LabelTable

# Seconds that the server takes for the time that a label took: 116 days. A study that was never opened took longer.
_LONGEST = 1e7


class Submitting:
    """Sends labels. `told` says what became of the last one, `changes` is what it changed against the proposal."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.told = ""
        self.changes: list[Change] = []

    @property
    def report(self) -> str:
        """What became of the last label, and what it changed, in lines; empty before the first."""
        lines = [
            f"{c.name}: Dice {c.dice:.2f}, {written_ml(c.before_ml)} mL, then {written_ml(c.after_ml)} mL"
            for c in self.changes
            if c.dice is not None
        ]
        return "\n".join([self.told, *(["Against the proposal:"] if lines else []), *lines])

    def table(self) -> LabelTable:
        """Return the structures of the segmentation that is open: all of the task's, or what the result offered."""
        session, task = self.session, self.session.drawn_task
        if task is None:
            raise ModuleError(
                "No model is chosen, so the structures are not known; connect to a server first."
            )
        names = {int(value): name for value, name in session.state.facts.get("table_names", {}).items()}
        return task.table.renamed(names) if names else task.table

    def start_empty(self) -> None:
        """Make an empty segmentation with the task's segments, to draw without a proposal."""
        session = self.session
        with session.refusing():
            task, reference = session.task, session.reference()
            if task is None or reference is None:
                raise ModuleError("Choose a model, and a volume for one of its sequences, first.")
            if session.state.segmentation is None:
                title = f"{session.state.study_name or reference[1].GetName()} {task.title}"
                segmentation = new_segmentation(session.scene, reference[1], title, task.table)
                ops.mark(segmentation, session.state.study_name, "segmentation")
                segmentation.SetAttribute(ops.PROPOSED, state_of(segmentation))
                session.state.set_segmentation(segmentation.GetID())
                session.state.task = task.name
                session.state.facts, session.state.proposal = {}, ""
            session.changed.emit()

    def submit(self, tag: str, then: Any = lambda: None) -> None:
        """Send the segmentation as `final` or `draft`; `then` is called when it is sent, or kept to be sent.

        A study that the server does not know goes up before it.
        """
        session, state = self.session, self.session.state
        with session.refusing():
            segmentation, reference, table = state.segmentation, volume_of_labels(session), self.table()
            if segmentation is None or reference is None:
                raise ModuleError(
                    "There is no segmentation to submit; run Auto-segment, or start an empty one."
                )
            session.check_server()
            drawn, as_sent = copy_drawn(segmentation, table, reference), state_of(segmentation)
            if not state.study:
                self._send_study(reference.GetName(), lambda: self.submit(tag, then))
                return
            grid = ops.affine(reference)
            proposal = state.proposal if made_on(segmentation) is reference else ""
            known = origin.noted(reference)
            study, url, client = state.study, state.server or state.url, session.client
            notes, kept = self._notes(), threading.Event()

            def work(job: Job) -> tuple[str, list[Change]]:
                labels = drawn.labels()
                place = known.grid if known else grid
                changes = _compare(proposal, labels, grid, table)
                letter = session.outbox.put(
                    lambda file: write_nrrd(file, reorder(labels, grid, place), place),
                    url, study, tag, notes,
                )  # fmt: skip
                kept.set()
                try:
                    if client is None:
                        raise ServerError("No server is connected.")
                    answer = session.outbox.send(letter, client, lambda part: job.report("Submitting", part))
                except ServerError as error:
                    if error.final:
                        if not job.abandoned:  # told now, while what was drawn is still there to be mended
                            session.outbox.remove(letter)
                        raise
                    session.outbox.replace_older(letter)
                    why = "The server is away." if error.status is None else error.sentence
                    return f"{why} The label of {study} is kept here and sent by itself later.", changes
                stored = f"The {tag} label of {study} is stored at the server."
                return f"{stored} {replaced_in_words(answer or {})}".strip(), changes

            def keep() -> None:
                segmentation.SetAttribute(ops.SENT, as_sent)
                if state.study == study:  # not where another scene was opened meanwhile
                    state.answered = True

            def left() -> str:
                if not kept.is_set():
                    return f"The label of {study} may not be on the disk yet; submit it again."
                keep()
                return f"The label of {study} is kept here and sent."

            def done(result: tuple[str, list[Change]]) -> None:
                self.told, self.changes = result
                keep()
                session.said.emit(f"{self.told} {changes_in_words(self.changes)}".strip())
                session.ask_server()
                then()

            session.wait_for("Submit", work, done, left=left)

    def _send_study(self, name: str, then: Callable[[], Any]) -> None:
        """Have the server know the user's own study, by its name or else this one; then go on."""
        session = self.session
        client, task = session.need_client(), session.drawn_task
        name, folder = session.state.study_name or name, session.workplace("send")
        annotator = session.annotator
        sources = [Source.of(sequence, node) for sequence, node in session.chosen_volumes(task).items()]

        def work(job: Job) -> dict[str, Origin]:
            known = send(client, task, name, sources, folder, job, annotator)
            return {source.node_id: known[source.sequence] for source in sources}

        def done(sent: dict[str, Origin]) -> None:
            remember(session, sent, client.url)
            then()

        session.wait_for("Sending the study", work, done)

    def skip(self, reason: str, then: Any = lambda: None) -> None:
        """Tell the server that the study shall not be labelled, and why."""
        session, state = self.session, self.session.state
        with session.refusing():
            client, study, annotator = session.need_client(), state.study, session.annotator
            if not study:
                raise ModuleError("The server does not know this study; there is nothing to skip.")
            session.check_server()
            if not reason.strip():
                raise ModuleError("Say why the study is skipped, for whoever runs the project.")
            segmentation = state.segmentation
            as_seen = state_of(segmentation) if segmentation is not None else ""

            def done(understood: bool) -> None:
                session.said.emit(
                    f"{study} is skipped."
                    if understood
                    else f"This server cannot note a skip; {study} may come again."
                )
                if segmentation is not None:
                    segmentation.SetAttribute(ops.SENT, as_seen)
                state.answered = True
                then()

            session.wait_for("Skip", lambda job: client.skip(study, reason.strip(), annotator), done)

    def _notes(self) -> dict[str, Any]:
        state = self.session.state
        notes: dict[str, Any] = {"annotator": self.session.annotator, "model": state.facts.get("model", "")}
        task = self.session.drawn_task
        if task is not None:
            notes["task"] = task.name
            # Of what the proposal, or the draft, was made without, the segments do not tell.
            used = state.facts.get("sequences_used") or task.sequences
            looked_at = [sequence for sequence in self.session.chosen_volumes(task) if sequence in used]
            if looked_at and not task.takes_any_image:
                notes["sequences"] = looked_at
        seconds = round(time.time() - state.opened)
        if 0 <= seconds < _LONGEST:  # else the clock was set, or the study is an old scene's
            notes["seconds"] = seconds
        return notes


def changes_in_words(changes: list[Change]) -> str:
    """Say what changed against the proposal, in a line."""
    touched = [c for c in changes if c.dice is not None and c.dice < 1]
    if not changes:
        return ""
    if not touched:
        return "Nothing was changed in the proposal."
    return (
        "Changed: "
        + "; ".join(
            f"{c.name} Dice {c.dice:.2f}, {written_ml(c.before_ml)} to {written_ml(c.after_ml)} mL"
            for c in touched
        )
        + "."
    )


def _compare(proposal: str, labels: np.ndarray, grid: np.ndarray, table: LabelTable) -> list[Change]:
    before = measure.unpack(proposal, labels.shape)
    return [] if before is None else measure.changes(before, labels, measure.voxel_ml(grid), table)
