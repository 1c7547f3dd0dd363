"""A study on its way from the server: its files, and the draft that belongs to it."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .background import Job
from .client import Client, Draft
from .errors import ServerError
from .origin import sha256_of
from .tables import ANY_SEQUENCE


@dataclass
class Arrived:
    """A study that the server proposed to an annotator; its methods are for a thread.

    folder: of its files; files, sums: the files by sequence, and their SHA-256; again: whether it is open already;
    draft: what this annotator has drawn of it before.
    """

    client: Client
    annotator: str
    study: dict[str, Any]
    folder: Path
    again: bool
    files: dict[str, Path] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    draft: Draft | None = None
    _given_back: threading.Lock = field(default_factory=threading.Lock)  # held from then on

    @property
    def drafted(self) -> bool:
        """Whether the server has a draft of it by this annotator."""
        return bool((self.study.get("lease") or {}).get("draft"))

    def fetch(self, job: Job) -> None:
        """Store its sequences as files; a server that knows no sequences has one image."""
        study = self.study
        name = str(study.get("name") or f"{study['id']}.nii.gz")
        parts = study.get("sequences") or {ANY_SEQUENCE: {"image": study["id"], "name": name}}
        for number, (sequence, part) in enumerate(parts.items()):

            def report(fraction: float, number: int = number, sequence: str = sequence) -> None:
                job.report(f"Downloading {sequence}", (number + fraction) / len(parts))

            report(0.0)
            target = self.folder / Path(part["name"]).name
            self.files[sequence] = self.client.download_image(part["image"], target, report)
            self.sums[sequence] = sha256_of(target)
        if self.drafted:
            found = self.client.draft(
                study["id"], self.folder, lambda part: job.report("Downloading the draft", part)
            )
            if found is not None and (found.notes.get("annotator") or "") == self.annotator:
                self.draft = found
        job.report("Opening")

    def give_back(self) -> None:
        """Remove its files and let others have it; that only once, for it may be proposed again at once."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(ServerError):  # then it is reserved until its time is up
            if not self.again and not self.drafted and self._given_back.acquire(blocking=False):
                self.client.release(self.study["id"], self.annotator)
