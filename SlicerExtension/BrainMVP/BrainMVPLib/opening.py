"""Opening a study: from the server, from a folder, or what is in the scene already."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from . import scene as ops
from .background import Job
from .client import Client
from .errors import ModuleError
from .grids import file_affine
from .origin import Origin, content_of, note, sha256_of
from .session import Session
from .shared import is_label
from .tables import ANY_SEQUENCE

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mgz")


class Opening:
    """Brings studies into the scene and takes them out again; nothing else in the scene is touched."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._warned = ""

    def next_study(self) -> None:
        """Open the study that the server proposes, in the place of the one that is open."""
        session, state = self.session, self.session.state
        with session.refusing():
            client, strategy, annotator = session.need_client(), state.strategy or "random", state.annotator
            self._may_leave()
            folder = session.workplace("study", kept=True)

            def work(job: Job) -> Any:
                study = client.next_study(strategy, annotator)
                if not study.get("id"):
                    return study, {}, {}
                files = _download(client, study, folder, job)
                return study, files, {sequence: sha256_of(path) for sequence, path in files.items()}

            session.wait_for("Next study", work, lambda answer: self._opened(client.url, answer))

    def _opened(self, server: str, answer: tuple[dict[str, Any], dict[str, Path], dict[str, str]]) -> None:
        session, state = self.session, self.session.state
        study, files, sums = answer
        if not study.get("id"):
            nothing = "Every study has a final label; there is nothing left to do."
            session.said.emit(why_in_words(study) or nothing)
            return
        nodes: dict[str, Any] = {}

        def opened(_: Any) -> None:
            self.close_study()
            for sequence, node in nodes.items():
                image = (study.get("sequences") or {}).get(sequence, {}).get("image", study["id"])
                ops.mark(node, study["id"], "sequence", sequence)
                content = content_of(ops.voxels(node), ops.affine(node))
                note(node, Origin(image, sums[sequence], file_affine(files[sequence]), content, server))
                state.set_volume(sequence, node.GetID())
            state.study, state.study_name, state.from_server = study["id"], study["id"], True
            state.server = server
            state.why = why_in_words(study)
            state.series = list(study.get("series") or [])
            state.opened = time.time()
            model = study.get("task")
            if model in session.info.get("models", {}):
                state.model = model
            session.said.emit(f"{study['id']} is open: {', '.join(nodes)}.")

        named = {sequence: (path, f"{study['id']} {sequence}") for sequence, path in files.items()}
        session.wait_for_steps("Opening", self._load(named, nodes), opened)

    def open_folder(self, folder: Path) -> None:
        """Load every image of a folder as a study of that name, in the place of the one that is open."""
        session, state = self.session, self.session.state
        with session.refusing():
            paths = sorted(
                p for p in folder.iterdir() if p.name.lower().endswith(_SUFFIXES) and not is_label(p.name)
            )
            if not paths:
                raise ModuleError(
                    f"{folder} holds no images ({', '.join(_SUFFIXES)}); choose another folder. DICOM goes into the "
                    "scene by Slicer's DICOM module first, then press Use scene."
                )
            self._may_leave()
            nodes: dict[str, Any] = {}

            def opened(_: Any) -> None:
                self.close_study()
                for node in nodes.values():
                    ops.mark(node, folder.name, "sequence")
                state.study, state.study_name, state.from_server = "", folder.name, False
                state.opened = time.time()
                session.said.emit(f"{folder.name} is open: {len(nodes)} volumes.")

            named = {path.name: (path, _stem(path.name)) for path in paths}
            session.wait_for_steps("Opening", self._load(named, nodes), opened)

    def _load(self, files: dict[str, tuple[Path, str]], nodes: dict[str, Any]) -> Iterator[tuple[str, float]]:
        """Read files, each under a name, into `nodes`, one at a step; stopped or refused, it leaves nothing behind."""
        try:
            for number, (key, (path, name)) in enumerate(files.items()):
                yield f"Opening {path.name}", number / len(files)
                nodes[key] = ops.load_volume(self.session.scene, path, name)
                ops.mark(nodes[key], "", "arriving")  # no sequence of the study that is still open
        except BaseException:
            for node in nodes.values():
                ops.remove(self.session.scene, node)
            raise

    def use_scene(self) -> None:
        """Work on the volumes that are in the scene; everything stays, also when another study is opened later."""
        session = self.session
        with session.refusing():
            self._may_leave()
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
                if folder.parent == downloads:
                    shutil.rmtree(folder, ignore_errors=True)
        state.forget_study()

    def _may_leave(self) -> None:
        """Raise `ModuleError`, once, if the open study's segmentation was not submitted as it is now."""
        session = self.session
        segmentation = session.state.segmentation
        if segmentation is None or segmentation.GetID() == self._warned:
            return
        if segmentation.GetAttribute(ops.SENT) != str(segmentation.GetSegmentation().GetMTime()):
            self._warned = segmentation.GetID()
            raise ModuleError(
                f"{segmentation.GetName()} is not submitted as it is now; submit it or keep it as a draft first. To "
                "leave it without, do the same again."
            )

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


def _download(client: Client, study: dict[str, Any], folder: Path, job: Job) -> dict[str, Path]:
    """Store a study's sequences as files; a server that knows no sequences has one image."""
    name = str(study.get("name") or f"{study['id']}.nii.gz")
    parts = study.get("sequences") or {ANY_SEQUENCE: {"image": study["id"], "name": name}}
    files = {}
    for number, (sequence, part) in enumerate(parts.items()):

        def report(fraction: float, number: int = number, sequence: str = sequence) -> None:
            job.report(f"Downloading {sequence}", (number + fraction) / len(parts))

        files[sequence] = client.download_image(part["image"], folder / Path(part["name"]).name, report)
    return files


def _stem(name: str) -> str:
    return next((name[: -len(s)] for s in _SUFFIXES if name.lower().endswith(s)), name)
