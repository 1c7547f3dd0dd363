"""Copies what the module shares with the library into the module: `python copy_shared.py [TARGET]`.

The module's CMakeLists.txt runs the same copy; in a checkout it is not needed, there the module reads `lib`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_LIBRARY = _HERE.parent / "lib" / "brainmvp"
# `BrainMVPLib/shared.py` reads these.
FILES = (
    "__init__.py",
    "contrast.py",
    "sequences.py",
    "dicom/__init__.py",
    "dicom/acquisition.py",
    "dicom/diffusion.py",
    "dicom/facts.py",
    "dicom/headers.py",
    "dicom/recognise.py",
    "dicom/unfit.py",
    "dicom/verdict.py",
    "millilitres.py",
    "words.py",
    "tasks/**/*.json",
)


def copy_shared(target: Path) -> list[Path]:
    """Copy the shared files below `target` and return their new paths."""
    shutil.rmtree(target / "brainmvp", ignore_errors=True)
    copies = []
    for pattern in FILES:
        for source in sorted(_LIBRARY.glob(pattern)):
            copy = target / "brainmvp" / source.relative_to(_LIBRARY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copies.append(Path(shutil.copyfile(source, copy)))
    return copies


if __name__ == "__main__":
    default = _HERE / "BrainMVP" / "Resources" / "Shared"
    print(f"{len(copy_shared(Path(sys.argv[1]) if sys.argv[1:] else default))} files copied")
