"""What the module shares with the library: the sequences' names, DICOM headers, how volumes are written, the tasks.

The build copies these files into `Resources/Shared`; in a checkout they are read where they are kept: a copy there
is as old as the last build.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

from .errors import ModuleError
from .study import VolumeFacts

_MODULE = Path(__file__).resolve().parents[1]


def shared_package() -> Path:
    """Return the folder of the package `brainmvp`, of which only the shared files are used."""
    packaged = _MODULE / "Resources" / "Shared" / "brainmvp"
    checkout = _MODULE.parents[1] / "lib" / "brainmvp"
    for folder in (checkout, packaged):
        if (folder / "sequences.py").is_file():
            if str(folder.parent) not in sys.path:
                sys.path.append(str(folder.parent))
            return folder
    raise ModuleError(f"{packaged} is missing from this installation; install the extension again.")


def shared_sequences() -> ModuleType:
    """Return the module `brainmvp.sequences`: which files are images, and what their names tell."""
    shared_package()
    from brainmvp import sequences

    return sequences


def written_ml(volume: float) -> str:
    """Return a volume in millilitres as people read it: a small infarct is not 0.0."""
    shared_package()
    from brainmvp import millilitres

    return millilitres.written_ml(volume)


def sequence_teller(
    header_of: Callable[[str], dict[str, Any]],
) -> Callable[[VolumeFacts], tuple[str | None, str]]:
    """Return a function that tells a volume's sequence, or None, and why.

    header_of: the facts of a volume's DICOM header by its node's id; empty where it has none. A header outweighs
    a name.
    """
    shared_package()
    from brainmvp.dicom.recognise import recognise
    from brainmvp.sequences import is_label, sequence_of

    def tell(volume: VolumeFacts) -> tuple[str | None, str]:
        if volume.sequence:
            return volume.sequence, "from the server"
        header = header_of(volume.node_id)
        if header:
            verdict = recognise(header)
            if verdict.sequence or verdict.what != "unknown":
                return (str(verdict.sequence) if verdict.sequence else None), verdict.why
        if is_label(volume.name):
            return None, "named as a label map"
        found = sequence_of(volume.name)
        return (str(found) if found else None), "by its name"

    return tell


def header_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a DICOM file's header that tell its sequence; empty where it cannot be read."""
    shared_package()
    from brainmvp.dicom.headers import read_slices

    try:
        slices = read_slices(path)
    except OSError:
        return {}
    return dict(slices[0].facts) if slices else {}
