"""Labels on their way to a server: on disk from the moment they are submitted until the server has them."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

from .client import Client
from .errors import ServerError
from .replacing import replacing
from .transport import Report


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
    """A folder with a label file and a note for each label that waits; threads may share it.

    Labels are sent one at a time: an older label of a study that is on its way arrives before the newer one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = threading.RLock()

    def put(
        self, write: Callable[[Path], Any], url: str, study: str, tag: str, notes: dict[str, Any]
    ) -> Letter:
        """Have a label written here until it is sent."""
        self.folder.mkdir(parents=True, exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        # Names that sort by time; those of earlier versions, in local time, begin with a digit and come first.
        moment = f"utc-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(seconds))}-{rest:09d}"
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", study)[:60]
        letter = Letter(self.folder / f"{moment}-{readable}.nrrd", url, study, tag, notes)
        try:
            write(letter.file)
            self._note(letter)
        except BaseException:
            letter.file.unlink(missing_ok=True)
            raise
        return letter

    def replace_older(self, letter: Letter) -> None:
        """Forget what a label that is sent, or waits to be, is in place of: older ones of its study and tag.

        A final one is in place of drafts, too.
        """
        with self._turn:
            for other in self.letters(letter.url):
                same = other.study == letter.study and letter.tag in (other.tag, "final")
                if same and other.file.name < letter.file.name:
                    self.remove(other)

    def letters(self, url: str | None = None) -> list[Letter]:
        """Return what waits, oldest first; for one server, or for all, with those whose note cannot be read."""
        letters = [self._letter(note) for note in sorted(self.folder.glob("*.json"))]
        return [letter for letter in letters if letter.file.is_file() and url in (None, letter.url)]

    def send(
        self, letter: Letter, client: Client, report: Report = lambda fraction: None
    ) -> dict[str, Any] | None:
        """Send a label and forget it; return what the server says, or None where it waits no more: sent, or replaced.

        Raises `ServerError` if it did not arrive; it stays, and if it would be refused again, so does the reason.
        """
        with self._turn:
            if not letter.file.is_file():
                return None
            try:
                answer = client.submit_label(letter.study, letter.file, letter.tag, letter.notes, report)
            except ServerError as error:
                if error.final:
                    self._note(replace(letter, problem=error.sentence))
                raise
            self.replace_older(letter)
            self.remove(letter)
            return answer

    def send_all(self, letters: list[Letter], client: Client) -> tuple[int, list[str], ServerError | None]:
        """Send labels; return how many arrived, whose labels they replaced, and why the last one did not that did not.

        One that the server does not take hinders no other; where nobody answers, the rest need not try.
        """
        number, replaced, problem = 0, [], None
        for letter in letters:
            try:
                answer = self.send(letter, client)
            except ServerError as error:
                problem = error
                if error.status is None:
                    break
                continue
            if answer is not None:
                number += 1
                replaced += filter(None, [replaced_in_words(answer, f"The label of {letter.study}")])
        return number, replaced, problem

    def remove(self, letter: Letter) -> None:
        """Forget a label."""
        letter.file.with_suffix(".json").unlink(missing_ok=True)
        letter.file.unlink(missing_ok=True)

    def _letter(self, note: Path) -> Letter:
        file = note.with_suffix(".nrrd")
        try:
            return Letter(file=file, **json.loads(note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            problem = f"whose it is cannot be read in {note}; submit its study again, then delete both files."
            return Letter(file, "", file.name, "", {}, problem)

    def _note(self, letter: Letter) -> None:
        data = {key: getattr(letter, key) for key in ("url", "study", "tag", "notes", "problem")}
        with replacing(letter.file.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(data, indent=1), "utf-8")


def replaced_in_words(answer: dict[str, Any], label: str = "It") -> str:
    """Say whose label one took the place of, if it was another annotator's; answer: the server's."""
    whose = answer.get("replaced")
    return (
        f"{label} takes the place of the label of {whose}, which the server keeps as a version."
        if whose
        else ""
    )
