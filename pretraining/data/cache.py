"""The cache of prepared studies: one compressed, chunked file per series (blosc2), read by patch."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import blosc2
import numpy as np

from brainmvp.cohort import Index, Session
from brainmvp.errors import BrainMVPError, first_line
from brainmvp.files import TEMPORARY, atomically, write_json
from brainmvp.sequences import Sequence

from .preprocess import preprocess

# A cache of another preprocessing is not used: raise this when its results change.
_VERSION = 1
# A patch of 96^3 touches few chunks, and only the blocks of them that it needs are unpacked.
_CHUNKS, _BLOCKS = (96, 96, 96), (32, 32, 32)
_DONE = "study.json"

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class CachedImages:
    """A study in the cache: the sequences of its series, their common shape, and patches of them."""

    sequences: tuple[Sequence, ...]
    shape: tuple[int, int, int]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        """Say what it is, as "T1, T2 of 40 x 48 x 40"."""
        return f"{', '.join(self.sequences)} of {' x '.join(map(str, self.shape))}"

    def read(self, number: int, box: Box) -> np.ndarray:
        """Return a box of a series, uint16, 0 to `preprocess.LEVELS`; no more of it is unpacked."""
        try:
            return blosc2.open(str(self.files[number]), mode="r")[box]
        except (RuntimeError, OSError) as error:
            raise BrainMVPError(
                f"{self.files[number]} is damaged ({error}); delete it and run `brainmvp prepare`."
            ) from error


class Cache:
    """The prepared studies of a cohort in one folder; spacing: of their voxels, mm.

    A study's `study.json` is written last: it lists the series, those that cannot be used with the reason, and the
    sizes and times of the source files. While those stay the same and its own files open, the study is done.
    """

    def __init__(self, folder: Path, spacing: float) -> None:
        # Another computer of a cluster works in another folder.
        self.folder, self.spacing = folder.absolute(), spacing

    def prepare(self, index: Index, session: Session) -> list[str]:
        """Prepare a study if it is not done, or some file of it could not be used; return what is wrong, in sentences.

        A file that could not be used is tried again: what was in its way, a permission perhaps, may be gone.
        """
        record = self._record(index, session)
        if record is None or record["bad"]:
            record = self._make(index, session)
        return list(record["bad"].values())

    def open(self, index: Index, session: Session) -> CachedImages | None:
        """Return a study's images, or None if no series of it can be used; raises `BrainMVPError` if not prepared."""
        record = self._record(index, session)
        if record is None:
            raise BrainMVPError(f"{session.id} is not prepared; run `brainmvp prepare` on the index.")
        if not record["series"]:
            return None
        folder = self._place(session)
        return CachedImages(
            tuple(Sequence(entry["sequence"]) for entry in record["series"]), tuple(record["shape"]),
            tuple(folder / entry["name"] for entry in record["series"]),
        )  # fmt: skip

    def _make(self, index: Index, session: Session) -> dict:
        signature = self._signature(index, session)
        bad: dict[str, str] = {}
        series = preprocess(index, session, self.spacing, bad.__setitem__)
        folder = self._place(session)
        for left in folder.glob(f"{TEMPORARY}*"):  # of a process that was killed
            left.unlink()
        entries = []
        for number, (sequence, values) in enumerate(series):
            name = f"{number}_{sequence}.b2nd"
            atomically(folder / name, _writer(values))
            entries.append({"sequence": str(sequence), "name": name})
        record = {
            "study": session.id, "signature": signature, "series": entries, "bad": bad,
            "shape": list(series[0][1].shape) if series else None,
        }  # fmt: skip
        write_json(folder / _DONE, record)
        return record

    def _record(self, index: Index, session: Session) -> dict | None:
        folder = self._place(session)
        try:
            record = json.loads((folder / _DONE).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if record.get("signature") != self._signature(index, session):
            return None
        return record if all(_opens(folder / entry["name"]) for entry in record["series"]) else None

    def _place(self, session: Session) -> Path:
        """Return a study's folder, one for each spacing; ids come from outside, so their characters are checked."""
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", session.id)[:80]
        spacing = "" if self.spacing == 1 else f"-{self.spacing:g}mm"
        return self.folder / f"{readable}-{hashlib.sha256(session.id.encode()).hexdigest()[:8]}{spacing}"

    def _signature(self, index: Index, session: Session) -> str:
        parts: list = [_VERSION, self.spacing]
        for image in session.images:
            path = index.path(image.file)
            found = path.stat() if path.is_file() else None
            parts.append([image.sequence, image.file, found and (found.st_size, found.st_mtime_ns)])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _opens(path: Path) -> bool:
    """Tell whether a file is there and complete; whether what is in it is right, only reading it tells."""
    try:
        blosc2.open(str(path), mode="r")
    except (RuntimeError, OSError):
        return False
    return True


def _writer(values: np.ndarray) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        try:
            blosc2.asarray(
                np.ascontiguousarray(values), urlpath=str(path), mode="w",
                chunks=tuple(map(min, _CHUNKS, values.shape)), blocks=tuple(map(min, _BLOCKS, values.shape)),
                cparams={"codec": blosc2.Codec.ZSTD, "clevel": 5, "filters": [blosc2.Filter.BITSHUFFLE]},
            )  # fmt: skip
        except RuntimeError as error:  # what blosc2 makes of a full disk
            raise OSError(errno.ENOSPC, first_line(error)) from error

    return write
