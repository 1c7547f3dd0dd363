"""Labels that could not be sent: kept on disk, sent later, visible all the time."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import Client
from .errors import ServerError


@dataclass(frozen=True)
class Letter:
    """A label that waits: for which server and study, and why the server refused it, if it did."""

    file: Path
    url: str
    study: str
    tag: str
    notes: dict[str, Any]
    problem: str = ""


class Outbox:
    """A folder with a label file and a note for each label that waits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, file: Path, url: str, study: str, tag: str, notes: dict[str, Any]) -> Letter:
        """Keep a copy of a label file until it is sent, in place of an older one for the same study and tag."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for older in self.letters(url):
            if (older.study, older.tag) == (study, tag):
                self.remove(older)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000_000:09d}.nrrd"
        letter = Letter(self.folder / name, url, study, tag, notes)
        shutil.copyfile(file, letter.file)
        self._note(letter)
        return letter

    def letters(self, url: str | None = None) -> list[Letter]:
        """Return what waits, oldest first; for one server, or for all, with those whose note cannot be read."""
        letters = [self._letter(note) for note in sorted(self.folder.glob("*.json"))]
        return [letter for letter in letters if letter.file.is_file() and url in (None, letter.url)]

    def send(self, letter: Letter, client: Client) -> None:
        """Send a label and forget it. A refusal is noted and stays; raises `ServerError` if the server is away."""
        try:
            client.submit_label(letter.study, letter.file, letter.tag, letter.notes, lambda fraction: None)
        except ServerError as error:
            if error.away:
                raise
            self._note(
                Letter(letter.file, letter.url, letter.study, letter.tag, letter.notes, error.sentence)
            )
        else:
            self.remove(letter)

    def remove(self, letter: Letter) -> None:
        """Forget a label."""
        letter.file.with_suffix(".json").unlink()
        letter.file.unlink()

    def _letter(self, note: Path) -> Letter:
        file = note.with_suffix(".nrrd")
        try:
            return Letter(file=file, **json.loads(note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            problem = f"whose it is cannot be read in {note}; submit its study again, then delete both files."
            return Letter(file, "", file.name, "", {}, problem)

    def _note(self, letter: Letter) -> None:
        data = {key: getattr(letter, key) for key in ("url", "study", "tag", "notes", "problem")}
        temporary = letter.file.with_suffix(".part")
        temporary.write_text(json.dumps(data, indent=1), "utf-8")
        os.replace(temporary, letter.file.with_suffix(".json"))
