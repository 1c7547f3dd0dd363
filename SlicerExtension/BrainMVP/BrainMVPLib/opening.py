"""Opening a study: from the server, from a folder, or what is in the scene already."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

from . import scene as ops
from .arrived import Arrived
from .background import Job
from .drawn import has_unsent_changes, state_of
from .errors import ModuleError
from .grids import file_affine
from .labels import show_draft
from .origin import Origin, content_of, note
from .session import NOT_USED, Session
from .shared import shared_sequences


class Opening:
    """Brings studies into the scene and takes them out again; nothing else in the scene is touched."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._warned: dict[str, str] = {}

    def next_study(self) -> None:
        """Open the study that the server proposes, in the place of the one that is open."""
        session, state = self.session, self.session.state
        with session.refusing():
            client, strategy, annotator = session.need_client(), state.strategy or "random", session.annotator
            left, open_already = self._may_leave(), state.study
            folder = session.workplace("study")

            def work(job: Job) -> Arrived:
                study = client.next_study(strategy, annotator)
                arrived = Arrived(client, annotator, study, folder, again=study.get("id") == open_already)
                if study.get("id"):
                    proposed.append(arrived)
                    try:
                        arrived.fetch(job)
                    except BaseException:
                        arrived.give_back()
                        raise
                return arrived

            def given_up() -> str:
                for arrived in proposed:  # also where it waits for the server, or to be opened
                    self._aside(arrived.give_back)
                return NOT_USED

            proposed: list[Arrived] = []
            session.wait_for("Next study", work, lambda arrived: self._open(arrived, left), left=given_up)

    def _open(self, arrived: Arrived, left: dict[str, str]) -> None:
        session, state = self.session, self.session.state
        study, files = arrived.study, arrived.files
        if not study.get("id"):
            nothing = "Every study has a final label; there is nothing left to do."
            session.said.emit(why_in_words(study) or nothing)
            return
        nodes: dict[str, Any] = {}

        def opened(_: Any) -> None:
            if not self._stayed(left, nodes):
                self._aside(arrived.give_back)
                return
            if not arrived.again:
                self._release()
            self.close_study()
            session.keep(arrived.folder)
            for sequence, node in nodes.items():
                image = (study.get("sequences") or {}).get(sequence, {}).get("image", study["id"])
                ops.mark(node, study["id"], "sequence", sequence)
                content = content_of(ops.voxels(node), ops.affine(node))
                place = file_affine(files[sequence])
                note(node, Origin(image, arrived.sums[sequence], place, content, arrived.client.url))
                state.set_volume(sequence, node.GetID())
            state.study, state.study_name, state.from_server = study["id"], study["id"], True
            state.server = arrived.client.url
            state.why = why_in_words(study)
            state.reference = str(study.get("reference") or "")
            state.series = list(study.get("series") or [])
            state.opened, state.answered = time.time(), arrived.drafted
            chosen, model = session.task, study.get("task")
            proposed = session.task_named(model) if model in session.info.get("models", {}) else None
            if proposed and not (chosen and chosen.suits(nodes, proposed)):
                state.model = model
            draft = ""
            if arrived.draft is not None:
                show_draft(session, arrived.draft)
                draft = " Your draft is open, too."
            session.said.emit(f"{study['id']} is open: {', '.join(nodes)}.{draft}")

        named = {sequence: (path, f"{study['id']} {sequence}") for sequence, path in files.items()}

        def undo() -> None:
            self._remove(nodes)
            self._aside(arrived.give_back)

        session.wait_for_steps("Opening", self._load(named, nodes), opened, undo)

    def _aside(self, action: Callable[[], Any]) -> None:
        """Do something that nobody waits for, nor needs to know of if it fails."""
        self.session.background.start("Giving back", lambda job: action(), lambda _: None, lambda error: None)

    def open_folder(self, folder: Path) -> None:
        """Load every image of a folder as a study of that name, in the place of the one that is open."""
        session, state = self.session, self.session.state
        with session.refusing():
            names = shared_sequences()
            images = (p for p in folder.iterdir() if p.name.lower().endswith(names.IMAGE_SUFFIXES))
            paths = sorted(p for p in images if not names.is_label(p.name))
            if not paths:
                raise ModuleError(
                    f"{folder} holds no images ({', '.join(names.IMAGE_SUFFIXES)}); choose another folder. DICOM goes "
                    "into the scene by Slicer's DICOM module first, then press Use scene."
                )
            left = self._may_leave()
            nodes: dict[str, Any] = {}

            def opened(_: Any) -> None:
                if not self._stayed(left, nodes):
                    return
                self._release()
                self.close_study()
                for node in nodes.values():
                    ops.mark(node, folder.name, "sequence")
                state.study, state.study_name, state.from_server = "", folder.name, False
                state.opened = time.time()
                session.said.emit(f"{folder.name} is open: {len(nodes)} volumes.")

            named = {path.name: (path, names.strip_suffix(path.name)) for path in paths}
            session.wait_for_steps("Opening", self._load(named, nodes), opened, lambda: self._remove(nodes))

    def _load(self, files: dict[str, tuple[Path, str]], nodes: dict[str, Any]) -> Iterator[tuple[str, float]]:
        """Read files, each under a name, into `nodes`, one at a step."""
        for number, (key, (path, name)) in enumerate(files.items()):
            yield f"Opening {path.name}", number / len(files)
            nodes[key] = ops.load_volume(self.session.scene, path, name)
            ops.mark(nodes[key], "", "arriving")  # no sequence of the study that is still open

    def _remove(self, nodes: dict[str, Any]) -> None:
        for node in nodes.values():
            ops.remove(self.session.scene, node)

    def use_scene(self) -> None:
        """Work on the volumes that are in the scene; everything stays, also when another study is opened later."""
        session = self.session
        with session.refusing():
            self._may_leave()
            self._release()
            ops.release_studies(session.scene)
            session.state.forget_study()
            session.state.opened = time.time()
            session.changed.emit()

    def close_study(self) -> None:
        """Remove the open study's nodes and forget it."""
        state = self.session.state
        if state.study_name:
            downloads = self.session.folder / "work"
            folders = {file.parent for file in ops.remove_study(self.session.scene, state.study_name)}
            for folder in folders:
                if folder.parent == downloads and not ops.is_saved_in(self.session.scene, folder):
                    shutil.rmtree(folder, ignore_errors=True)
        state.forget_study()

    def _release(self) -> None:
        """Give the open study back to the server if it heard nothing of it, so that others need not wait for it."""
        session, state = self.session, self.session.state
        client, study, annotator = session.client, state.study, session.annotator
        if study and not state.answered and client is not None and client.url == state.server:
            self._aside(lambda: client.release(study, annotator))

    def _drawn(self) -> dict[str, str]:
        """Return what is drawn in the segmentation that is open, and in those that would go with the study, by id."""
        state = self.session.state
        return {
            node.GetID(): state_of(node)
            for node in ops.nodes_of(self.session.scene, "vtkMRMLSegmentationNode")
            if node is state.segmentation or node.GetAttribute(ops.STUDY) == state.study_name
        }

    def _may_leave(self) -> dict[str, str]:
        """Return what is drawn, which may be left; raises `ModuleError`, once, if it was not submitted as it is."""
        drawn, unsent = self._drawn(), []
        for node in map(self.session.scene.GetNodeByID, drawn):
            if node is self.session.state.segmentation:
                if drawn[node.GetID()] != node.GetAttribute(ops.SENT):
                    unsent.append(f"{node.GetName()} is not submitted as it is now")
            elif has_unsent_changes(node, drawn[node.GetID()]):
                unsent.append(f"{node.GetName()} has corrections that were never submitted")
        if not unsent or drawn == self._warned:
            return drawn
        self._warned = drawn
        raise ModuleError(
            f"{', and '.join(unsent)}; submit it, keep it as a draft or save the scene first. To leave it without, do "
            "the same again."
        )

    def _stayed(self, left: dict[str, str], nodes: dict[str, Any]) -> bool:
        """Tell whether nothing was drawn since it could be left; else take away what came to take its place."""
        if self._drawn() == left:
            return True
        self._remove(nodes)
        self.session.failed.emit(
            ModuleError(
                "Something was drawn while the next study came, so this one stays open; submit it, or keep it as a "
                "draft, then go on."
            )
        )
        return False

    def choose(self, sequence: str, node_id: str | None) -> None:
        """Give a sequence another volume, or none."""
        state = self.session.state
        state.set_volume(sequence, node_id)
        others = [s for s in state.left_empty if s != sequence]
        state.left_empty = others if node_id else [*others, sequence]
        self.session.changed.emit()


def why_in_words(study: dict[str, Any]) -> str:
    """Say why the server chose a study, and until when it is reserved."""
    why = study.get("why") or {}
    sentence = str(why.get("sentence") or "")
    if not sentence and why:
        place = f"rank {why.get('rank', '?')} of {why.get('of', '?')}"
        sentence = f"Chosen by {why.get('strategy', 'the server')}, {place}."
    lease = study.get("lease") or {}
    expires = _clock(lease.get("expires"))
    return f"{sentence} Reserved for you until {expires}.".strip() if expires else sentence


def _clock(moment: Any) -> str:
    """Return the local time of day of an ISO 8601 time; anything else as it is."""
    try:
        return datetime.fromisoformat(str(moment).replace("Z", "+00:00")).astimezone().strftime("%H:%M")
    except ValueError:
        return str(moment or "")
