"""The ids of the labelled studies of a served folder: labels are called by them, so that they stay."""

import glob
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN, readable, write_json

if TYPE_CHECKING:
    from brainmvp.sequences import Sequence
    from brainmvp.study import Study

_FILE = "ids.json"
# Studies of one grid may have files of one size, and in the middle of a head without a skull may lie background alone.
_PIECES, _LOOKED_AT = 32, 1 << 10  # all over an image, in bytes


class GivenIds:
    """The file `.brainmvp/ids.json` of a studies folder: by id, where its study lies and which one it is.

    A DICOM study is told by its UID, one in files by the size and pieces of each image. Raises `BrainMVPError`
    if the file is damaged.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._path = root, root / HIDDEN / _FILE
        self._given: dict[str, dict[str, Any]] = {}
        try:
            if os.path.isfile(self._path):  # no error where the folder is closed
                self._given = json.loads(self._path.read_text("utf-8"))
            self._ids = {kept["study"]: name for name, kept in self._given.items() if "study" in kept}
            self._places = {kept["folder"] for kept in self._given.values()}
            self._images = {n: dict(kept["images"]) for n, kept in self._given.items() if "images" in kept}
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

    def check(self, study: "Study") -> None:
        """Raise `BrainMVPError` if a study in files has the name of a labelled one that is elsewhere, or away.

        One that was moved has one of the images still: the others may have been rewritten or removed. Of one that was
        labelled with an earlier release they are not known.
        """
        if self.fits(study.id, study.folder, as_found(study)):
            return
        if any((self._root / "labels").glob(f"*/{glob.escape(study.id)}.*")):
            raise BrainMVPError(
                f"{study.folder} has the name of the labelled study {self._given[study.id]['folder']}, but other "
                f"images; rename the folder, or, if it is that study, write where it lies now into {self._path} and "
                "start the server again."
            )

    def fits(self, name: str, folder: Path, images: "Mapping[Sequence, Path]") -> bool:
        """Tell whether images in a folder may be the study of an id: nobody has it, it lies there, or it was moved."""
        kept = self._given.get(name)
        if kept is None or kept["folder"] == self._place(folder):
            return True
        known = self._images.get(name)
        return "study" not in kept and (not known or bool(known.items() & _marks(images).items()))

    def knows(self, folder: Path) -> bool:
        """Tell whether a study that lies in a folder has an id."""
        return self._place(folder) in self._places

    def keep(self, studies: "Iterable[Study]") -> None:
        """Keep the ids of some studies."""
        found = {study.id: self._kept_of(study) for study in studies}
        if any(self._given.get(name) != kept for name, kept in found.items()):
            self._given |= found
            write_json(self._path, self._given)

    def _kept_of(self, study: "Study") -> dict[str, Any]:
        place = {"folder": self._place(study.folder)}
        if study.series:
            return place | {"study": _key(uid_of(study))}
        known = self._images.get(study.id)
        here = self._given.get(study.id, {}).get("folder") == place["folder"]
        if here and known is not None and known.keys() == set(map(str, study.images)):
            return self._given[study.id]  # no file is opened again
        return place | {"images": _marks(as_found(study))}

    def _place(self, folder: Path) -> str:
        return readable(Path(os.path.relpath(folder, self._root)).as_posix())


def uid_of(study: "Study") -> str:
    """Return what tells a DICOM study from all others."""
    return str(study.series[0].image.facts.get("StudyInstanceUID", ""))


def _key(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def as_found(study: "Study") -> "Mapping[Sequence, Path]":
    """Return a study's images as they came, by sequence: of a DICOM study the series."""
    return getattr(study.images, "sources", study.images)  # not the files that a server makes


def _marks(images: "Mapping[Sequence, Path]") -> dict[str, str]:
    """Return for each image that can be read, by sequence, what tells it from those of other patients."""
    marks = {}
    for sequence, path in images.items():
        with suppress(OSError), path.open("rb") as file:
            size, looked_at = os.fstat(file.fileno()).st_size, 0
            for number in range(1, _PIECES + 1):
                file.seek(int(size * (0.618 * number % 1)))  # not at the beginnings of slices
                looked_at = zlib.crc32(file.read(_LOOKED_AT), looked_at)
            marks[str(sequence)] = f"{size}-{looked_at:08x}"
    return marks
