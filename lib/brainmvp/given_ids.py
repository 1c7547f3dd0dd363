"""The ids of the labelled studies of a served folder: labels are called by them, so that they stay."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN, readable, write_json

if TYPE_CHECKING:
    from brainmvp.study import Study

_FILE = "ids.json"


class GivenIds:
    """The file `.brainmvp/ids.json` of a studies folder: by id, where its study lies and, of DICOM, which one it is.

    Raises `BrainMVPError` if the file is damaged.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._path = root, root / HIDDEN / _FILE
        self._given: dict[str, dict[str, str]] = {}
        try:
            if os.path.isfile(self._path):  # no error where the folder is closed
                self._given = json.loads(self._path.read_text("utf-8"))
            self._ids = {kept["study"]: name for name, kept in self._given.items() if "study" in kept}
            self._places = {kept["folder"] for kept in self._given.values()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BrainMVPError(
                f"{self._path} is damaged; restore it from a backup, or move it away and see that each label in "
                "labels/final has the name of its study."
            ) from error

    def id_of(self, uid: str, name: str, folder: Path, alone: bool = True) -> str:
        """Return a DICOM study's id: the one it was given, else its name, with a mark where that is another's.

        alone: no other study that is there has the name. The mark tells nobody who it is.
        """
        key = _key(uid)
        if key in self._ids:
            return self._ids[key]
        # A study that lies where the one of this id lay is the same, written by another export.
        free = name not in self._given or self._given[name]["folder"] == self._place(folder)
        return name if alone and free else f"{name}-{key[:6]}"

    def knows(self, folder: Path) -> bool:
        """Tell whether a study that lies in a folder has an id."""
        return self._place(folder) in self._places

    def keep(self, studies: "Iterable[Study]") -> None:
        """Keep the ids of some studies."""
        found = {
            study.id: {"folder": self._place(study.folder)}
            | ({"study": _key(uid_of(study))} if study.series else {})
            for study in studies
        }
        if any(self._given.get(name) != kept for name, kept in found.items()):
            self._given |= found
            write_json(self._path, self._given)

    def _place(self, folder: Path) -> str:
        return readable(Path(os.path.relpath(folder, self._root)).as_posix())


def uid_of(study: "Study") -> str:
    """Return what tells a DICOM study from all others."""
    return str(study.series[0].image.facts.get("StudyInstanceUID", ""))


def _key(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]
