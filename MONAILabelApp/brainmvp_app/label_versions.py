"""Earlier labels: whatever a new label replaces is kept, numbered from 1."""

import filecmp
import json
import os
import shutil
from pathlib import Path
from typing import Any

from brainmvp.files import HIDDEN, atomically, write_text
from brainmvp_app.errors import RefusedError
from brainmvp_app.incoming import image_suffix


class LabelVersions:
    """`.brainmvp/labels/TAG/STUDY/N.nii.gz`, each with its notes in `N.json`."""

    def __init__(self, studies: Path) -> None:
        self._root = studies / HIDDEN / "labels"

    def keep(self, label: Path, tag: str, study: str, notes: dict[str, Any]) -> None:
        """Keep a copy of a label under the next number, unless the last one is the same."""
        folder = self._root / tag / study
        folder.mkdir(parents=True, exist_ok=True)
        last = max(self.numbers(tag, study), default=0)
        if last and filecmp.cmp(self.file(tag, study, last), label, shallow=False):
            return  # of an attempt that found no room for the new label
        number = last + 1
        write_text(folder / f"{number}.json", json.dumps(notes, default=str))
        kept = folder / f"{number}{image_suffix(label.name)}"
        try:
            os.link(label, kept)  # the new label is renamed into its place: this name keeps the old content
        except OSError:  # a file system without links
            atomically(kept, lambda path: shutil.copyfile(label, path))

    def numbers(self, tag: str, study: str) -> list[int]:
        """Return the numbers of the kept versions, rising."""
        names = [path.name for path in (self._root / tag / study).glob("*") if image_suffix(path.name)]
        numbers = {name.split(".")[0] for name in names}
        # Others are being written, or what macOS puts beside each file.
        return sorted(int(number) for number in numbers if number.isdecimal())

    def listed(self, tag: str, study: str) -> list[dict[str, Any]]:
        """Return the notes of the kept versions, each with its number as `version`."""
        return [{"version": number, **self._notes(tag, study, number)} for number in self.numbers(tag, study)]

    def file(self, tag: str, study: str, number: int) -> Path:
        """Return the file of a version; raises `RefusedError` (404) if there is none."""
        files = (self._root / tag / study).glob(f"{number}.*")
        found = next((path for path in files if image_suffix(path.name)), None)
        if found is None:
            numbers = ", ".join(map(str, self.numbers(tag, study))) or "none"
            raise RefusedError(404, f"{study} has no earlier {tag} label {number}; there are: {numbers}.")
        return found

    def remove(self, study: str) -> None:
        """Remove every earlier label of a study that goes."""
        for folder in self._root.glob("*"):
            shutil.rmtree(folder / study, ignore_errors=True)

    def _notes(self, tag: str, study: str, number: int) -> dict[str, Any]:
        try:
            return json.loads((self._root / tag / study / f"{number}.json").read_text("utf-8"))
        except (OSError, ValueError):  # the notes are lost, the label is not
            return {}
