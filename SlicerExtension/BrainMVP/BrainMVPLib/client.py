"""MONAI Label's REST interface, and what BrainMVP's server adds to it.

Where a stock server lacks an addition, the method says so by what it returns (None, an empty list), not by failing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote

from .errors import ServerError
from .multipart import split_answer
from .transport import Report, Transport

# An inference on a busy computer without a GPU takes minutes, and the server says nothing until it is done.
_INFERENCE_SECONDS = 3600.0
_STATE_SECONDS = 15.0
# Before the first byte the server may fetch a whole series from its archive.
_IMAGE_SECONDS = 600.0
# The server answers when the training has ended its step, or after a minute.
_STOP_SECONDS = 120.0


@dataclass(frozen=True)
class Draft:
    """A label that is not finished: its file, and what is noted about it."""

    file: Path
    notes: dict[str, Any]


@dataclass(frozen=True)
class Inference:
    """An answer to `infer`: the label file, and what the server says of it."""

    file: Path
    facts: dict[str, Any] = field(default_factory=dict)


class Client:
    """What a MONAI Label server can be asked."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def url(self) -> str:
        return self.transport.url

    def info(self) -> dict[str, Any]:
        """Return what the server is and offers: name, models, strategies, counts of studies.

        Without the models that classify: they draw nothing that could be corrected.
        """
        answer = self.transport.json("GET", "/info/", _STATE_SECONDS)
        if not isinstance(answer, dict) or not isinstance(answer.get("models"), dict):
            raise ServerError(f"{self.url} is no MONAI Label server; check the address.", str(answer)[:500])
        drawing = {n: m for n, m in answer["models"].items() if m.get("type") != "classification"}
        return answer | {"models": drawing}

    # Studies

    def next_study(self, strategy: str, annotator: str) -> dict[str, Any]:
        """Return the study to label next, with why and until when it is reserved; without an id where none is free."""
        return (
            self.transport.json("POST", f"/activelearning/{quote(strategy)}", json={"annotator": annotator})
            or {}
        )

    def skip(self, study: str, reason: str, annotator: str) -> bool:
        """Tell the server not to propose a study again; return whether it understood."""
        return self._added("POST", "/studies/skip", study, {"reason": reason, "annotator": annotator})

    def reserve(self, study: str, annotator: str) -> str:
        """Have others not be proposed a study that one works on; where another one has it, return who, in a sentence.

        Nothing else that is refused is told: without a reservation one can work, too.
        """
        try:
            self._added("POST", "/studies/reserve", study, {"annotator": annotator})
        except ServerError as error:
            if error.away:
                raise
            return error.sentence if error.status == 409 else ""
        return ""

    def release(self, study: str, annotator: str) -> bool:
        """Give a reserved study back; return whether the server understood."""
        return self._added("POST", "/studies/release", study, {"annotator": annotator})

    def image_info(self, image: str) -> dict[str, Any] | None:
        """Return what the server says of an image, or None where it has no such image."""
        try:
            answer = self.transport.json(
                "GET", "/datastore/image/info", _STATE_SECONDS, params={"image": image}
            )
        except ServerError as error:
            if error.away:
                raise
            return None
        return answer if isinstance(answer, dict) else {}

    def checksum(self, image: str) -> str | None:
        """Return the SHA-256 of an image's file, or None where the server has no such image or no checksums."""
        try:
            answer = self.transport.json("GET", "/datastore/image/checksum", params={"image": image})
        except ServerError as error:
            if error.away:
                raise
            return None
        return answer.get("sha256") if isinstance(answer, dict) else None

    def download_image(self, image: str, target: Path, report: Report) -> Path:
        """Store an image of the server as a file."""
        self.transport.download(
            "GET", "/datastore/image", target, report, _IMAGE_SECONDS, params={"image": image}
        )
        return target

    def upload_image(
        self,
        study: str,
        sequence: str | None,
        file: Path,
        report: Report,
        annotator: str = "",
        copy_of: str = "",
    ) -> None:
        """Send one image of a study; `sequence` is None for a server that knows no sequences.

        annotator: whose study it is, to whom it is reserved; copy_of: the study of which it is a changed copy.
        """
        notes = {"sequence": sequence, "annotator": annotator, "copy_of": copy_of}
        fields = {"params": json.dumps({name: value for name, value in notes.items() if value})}
        self.transport.upload("/datastore/image", "file", file, fields, report, params={"image": study})

    def copy_image(
        self, source: str, study: str, sequence: str, annotator: str = "", copy_of: str = ""
    ) -> None:
        """Have the server take an image that it has as a sequence of another study; see `upload_image`."""
        query = {"image": study, "sequence": sequence, "source": source}
        query |= {"annotator": annotator, "copy_of": copy_of}
        self.transport.json("PUT", "/datastore/image/copy", params=query)

    def note_copy(self, copy: str, original: str) -> None:
        """Have the server propose the study `original`, and not `copy`, which is the same patient's."""
        for study, other in ((copy, original), (original, "")):
            notes = {"info": json.dumps({"copy_of": other})}
            self.transport.json("PUT", "/datastore/image/info", params={"image": study}, data=notes)

    def has_label(self, study: str, tag: str) -> bool:
        """Tell whether a study has a label."""
        try:
            self.transport.json(
                "GET", "/datastore/label/info", _STATE_SECONDS, params={"label": study, "tag": tag}
            )
        except ServerError as error:
            if error.status == 404:
                return False
            raise
        return True

    # Segmentations

    def infer(
        self, model: str, image: str, folder: Path, report: Report, sequences: list[str] | None = None
    ) -> Inference:
        """Segment an image; return the label file, stored in `folder`.

        sequences: of the image's study, which alone are looked at; None for all of them.
        """
        wishes: dict[str, Any] = {"result_extension": ".nrrd"}
        if sequences is not None:
            wishes["sequences"] = sequences
        target = folder / "answer.multipart"
        answer = self.transport.download(
            "POST",
            f"/infer/{quote(model)}",
            target,
            report,
            _INFERENCE_SECONDS,
            params={"image": image, "output": "all"},
            data={"params": json.dumps(wishes)},
        )
        body = target.read_bytes()
        target.unlink()
        facts, content, name = split_answer(answer.headers.get("Content-Type", ""), body)
        file = folder / f"result{_suffix(name)}"
        file.write_bytes(content)
        return Inference(file, facts)

    def progress(self, model: str, image: str) -> tuple[str, float] | None:
        """Return what a running inference does and how far it is, or None where the server does not say."""
        try:
            answer = self.transport.json(
                "GET", f"/infer/{quote(model)}/progress", _STATE_SECONDS, params={"image": image}
            )
        except ServerError:
            return None
        return (str(answer["step"]), float(answer["fraction"])) if answer else None

    def uncertainty(self, model: str, image: str, target: Path, report: Report) -> tuple[str, list[str]]:
        """Store the uncertainty (0…1) of the last inference on an image as NIfTI.

        Returns which version's it is, and which sequences that looked at; empty where the server does not say.
        """
        answer = self.transport.download(
            "GET", f"/uncertainty/{quote(model)}", target, report, params={"image": image}
        )
        return answer.headers.get("X-BrainMVP-Model", ""), answer.headers.get(
            "X-BrainMVP-Sequences", ""
        ).split()

    def submit_label(
        self, study: str, file: Path, tag: str, notes: dict[str, Any], report: Report
    ) -> dict[str, Any]:
        """Store a label of a study under a tag, `final` or `draft`; return what the server says of it."""
        fields = {"params": json.dumps(notes)}
        query = {"image": study, "tag": tag}
        answer = self.transport.upload("/datastore/label", "label", file, fields, report, params=query)
        return answer if isinstance(answer, dict) else {}

    def draft(self, study: str, folder: Path, report: Report) -> Draft | None:
        """Store the draft of a study as a file in `folder`, or return None where there is none."""
        query = {"label": study, "tag": "draft"}
        try:
            notes = self.transport.json("GET", "/datastore/label/info", _STATE_SECONDS, params=query)
            file = folder / f"draft{_suffix(str(notes.get('name', '')))}"
            self.transport.download("GET", "/datastore/label", file, report, params=query)
        except ServerError as error:
            if error.status == 404:
                return None
            raise
        return Draft(file, notes)

    # Models

    def models(self) -> list[dict[str, Any]]:
        """Return the versions of the models, oldest first; empty where the server keeps no versions."""
        return self._or_nothing("/models", list) or []

    def models_or_why(self) -> tuple[list[dict[str, Any]], ServerError | None]:
        """Return the versions; where the server fails to tell, none and why."""
        try:
            return self.models(), None
        except ServerError as error:
            return [], error

    def serve_model(self, name: str, version: int) -> None:
        """Make the server answer with another version of a model from now on."""
        self.transport.json("POST", f"/models/{quote(name)}/serve", json={"version": version})

    def train(self, model: str) -> None:
        """Start a training."""
        self.transport.json("POST", f"/train/{quote(model)}", json={})

    def training(self) -> dict[str, Any] | None:
        """Return the state of the training, or None where none was ever started."""
        return self._or_nothing("/train/", dict)

    def stop_training(self) -> None:
        """Stop the training."""
        self.transport.json("DELETE", "/train/", _STOP_SECONDS)

    def _added(self, method: str, path: str, study: str, body: dict[str, str]) -> bool:
        try:
            self.transport.json(method, path, params={"image": study}, json=body)
        except ServerError as error:
            if error.status in (404, 405):
                return False
            raise
        return True

    def _or_nothing(self, path: str, kind: Callable[..., Any]) -> Any:
        try:
            answer = self.transport.json("GET", path, _STATE_SECONDS)
        except ServerError as error:
            if error.status in (404, 405):
                return None
            raise
        return answer if isinstance(answer, kind) else None


def _suffix(name: str) -> str:
    known = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")
    return next((suffix for suffix in known if name.lower().endswith(suffix)), ".nrrd")
