"""Files that clients send: read completely and checked before anything stored is touched."""

import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from brainmvp.errors import BrainMVPError
from brainmvp.segnrrd import read_by_name
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.volume import Volume, read_volume
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import HEADER

# A single upload cannot hold a header and the file of its voxels.
UPLOAD_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix != HEADER)
_HEADER_BYTES = 1 << 16
_DATA_FILE = b"ElementDataFile"  # as ITK spells it, and no other way
_LOCAL_DATA = re.compile(_DATA_FILE + rb"[ \t]*=[ \t]*(LOCAL|Local|local)[ \t]*\r?\n")


@contextmanager
def received(stream: BinaryIO, filename: str | None) -> Iterator[Path]:
    """Yield an uploaded file under the name that the client gave it, in a temporary folder that goes away again."""
    name = PurePosixPath((filename or "").replace("\\", "/")).name
    if not name.lower().endswith(UPLOAD_SUFFIXES):
        shown = repr(name) if name else "a file without a name"
        raise RefusedError(
            400, f"{shown} is not an image that is accepted; send {', '.join(UPLOAD_SUFFIXES)}."
        )
    with tempfile.TemporaryDirectory(prefix="brainmvp-upload-") as folder:
        long = len(os.fsencode(name)) > 200
        path = Path(folder) / (f"upload{image_suffix(name)}" if long else name)
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield path


def image_suffix(name: str) -> str:
    """Return the ending that tells an image's format, lower case; `.seg.nrrd` counts as one."""
    return next((s for s in (".seg.nrrd", *IMAGE_SUFFIXES) if name.lower().endswith(s)), "")


def read_upload(path: Path) -> Volume:
    """Read an uploaded image; raises `BrainMVPError` naming the file if it is not complete or not self-contained."""
    _check_self_contained(path)
    try:
        return read_volume(path)
    except BrainMVPError as error:
        raise BrainMVPError(str(error).replace(str(path), path.name)) from error


def check_label(
    path: Path, study: Study, sequences: Iterable[Sequence], task: Task, stated: Collection[Sequence] = ()
) -> list[Sequence]:
    """Return the sequences of a study that a label was drawn with, by the grid that it lies on.

    stated: those that its annotator had, if the study has any of them. Raises `BrainMVPError` unless the label lies on
    the grid of one of some sequences, and its values are the task's.
    """
    label, order = read_upload(path), list(sequences)
    place = lies_on(label, path.name, study, order)
    values = read_by_name(label, task, path.name)
    # Those that the task's labels lie on rather were not there yet when it was begun, unless it holds what only they
    # show.
    rather = [sequence for sequence in task.reference if sequence in study.images]
    late = set(rather[: rather.index(place)]) if place in rather else set()
    if had := set(stated) & set(study.images):
        late |= set(study.images) - had
    if late:
        found = set(np.unique(values).tolist())
        late -= {s for region in task.regions if found & set(region.labels) for s in region.requires}
    return [sequence for sequence in study.images if sequence not in late]


def lies_on(label: Volume, name: str, study: Study, sequences: Iterable[Sequence]) -> Sequence:
    """Return the first of some sequences of a study on whose grid a label lies; raises `BrainMVPError` if on none."""
    first: Volume | None = None
    for sequence in sequences:
        grid = read_volume(study.images[sequence])
        if label.same_grid(grid):
            return sequence
        first = first or grid
    raise BrainMVPError(
        f"{name} does not lie on the grid of {first.path.name} (shape {_shape(label)} against "
        f"{_shape(first)}, or another position); export the label on the geometry of that image."
    )


def _check_self_contained(path: Path) -> None:
    """Raise `RefusedError` if a NRRD or MetaImage header names another file, which would be read from this computer."""
    suffix = path.suffix.lower()
    if (suffix == ".nrrd" and not _is_whole_nrrd(path)) or (suffix == ".mha" and not _is_whole_mha(path)):
        raise RefusedError(400, f"{path.name} keeps its voxels in another file; save it as one file.")


def _is_whole_nrrd(path: Path) -> bool:
    """Strict on purpose: a header that does not end within the first 64 KiB is none."""
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES).lower()
    header, blank_line, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    return bool(blank_line) and not any(
        line.replace(b" ", b"").startswith(b"datafile:") for line in header.splitlines()
    )


def _is_whole_mha(path: Path) -> bool:
    """Tell whether a data file is named once only, from the first byte to the last, and is the file itself.

    Where a header ends, and what in it is a comment, is ITK's to say: a second name could lie anywhere.
    """
    if not path.stat().st_size:  # which cannot be mapped
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(_DATA_FILE)
        again = content.find(_DATA_FILE, place + 1)
        return place >= 0 and again < 0 and _LOCAL_DATA.match(content, place) is not None


def _shape(volume: Volume) -> str:
    return "x".join(map(str, volume.shape))
