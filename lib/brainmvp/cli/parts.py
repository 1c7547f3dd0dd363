"""Where the optional parts of the software are: beside `lib` in a checkout, inside an installed package."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from brainmvp.errors import BrainMVPError

_CHECKOUT = Path(__file__).resolve().parents[3]
_NEEDED = ("blosc2", "lightning", "tensorboard")


def pretraining(module: str) -> ModuleType:
    """Return a module of the pretraining, such as `data.prepare`; raises `BrainMVPError` if it is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BrainMVPError(f'Pretraining needs {", ".join(missing)}; run `pip install "brainmvp[train]"`.')
    if importlib.util.find_spec("brainmvp.pretraining") is not None:
        return importlib.import_module(f"brainmvp.pretraining.{module}")
    if not (_CHECKOUT / "pretraining" / "__init__.py").is_file():
        raise BrainMVPError("The pretraining is missing from this installation; install brainmvp again.")
    if str(_CHECKOUT) not in sys.path:
        sys.path.append(str(_CHECKOUT))
    return importlib.import_module(f"pretraining.{module}")
