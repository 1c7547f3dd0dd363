"""The files that a header names for its voxels: no image may hand out what lies elsewhere on the computer."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from brainmvp.errors import BrainMVPError

_NAMED = re.compile(rb"data ?file: *(.*)", re.IGNORECASE)
_LOCAL = re.compile(rb"\s*ElementDataFile[ \t]*=[ \t]*(LOCAL|Local|local)\s*$")


def check_data_files(path: Path) -> None:
    """Raise `BrainMVPError` if a NRRD header names a file outside its folder, or a `.mha` any but itself.

    Links that lie in the folder are followed, as those to images are.
    """
    if path.name.lower().endswith(".mha"):
        with path.open("rb") as file:
            named = next((line for line in file if line.lstrip().startswith(b"ElementDataFile")), None)
        if named and not _LOCAL.match(named):
            raise BrainMVPError(f"{path} keeps its voxels in another file; save it as one file.")
        return
    folder = Path(os.path.abspath(path.parent))
    for name in _named(path):
        if not Path(os.path.normpath(folder / name)).is_relative_to(folder):
            raise BrainMVPError(
                f"{path} keeps its voxels in {name}, outside its folder; copy that file into the folder and name it so."
            )


def _named(path: Path) -> Iterator[str]:
    """Yield the data files of a NRRD header, which an empty line ends; a lone CR ends a line, too."""
    listed = False  # each further line is a name
    with path.open("rb") as file:
        for line in file:
            if not listed and not line.strip():
                return
            for part in line.splitlines():
                if listed:
                    yield os.fsdecode(part.strip())
                elif found := _NAMED.match(part):
                    listed = found[1].startswith(b"LIST")
                    if not listed:
                        yield os.fsdecode(found[1].strip())
