"""What the module shares with the library: the sequences' names and the tasks.

The build copies them into `Resources/Shared`; in a checkout they are read where they are kept.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from .errors import ModuleError

_MODULE = Path(__file__).resolve().parents[1]


def shared_folder() -> Path:
    """Return the folder that holds `sequences.py` and `tasks/`."""
    packaged = _MODULE / "Resources" / "Shared"
    checkout = _MODULE.parents[1] / "lib" / "brainmvp"
    for folder in (packaged, checkout):
        if (folder / "sequences.py").is_file():
            return folder
    raise ModuleError(f"{packaged} is missing from this installation; install the extension again.")


def load_sequences() -> ModuleType:
    """Return the library's module that knows the sequences and how files are named after them."""
    path = shared_folder() / "sequences.py"
    spec = importlib.util.spec_from_file_location("brainmvp_shared_sequences", path)
    if spec is None or spec.loader is None:
        raise ModuleError(f"{path} cannot be loaded; install the extension again.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
