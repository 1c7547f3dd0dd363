"""Checks of an installation: what is there, what is not, and what to type about it."""

import importlib.util
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import psutil

from brainmvp import __version__
from brainmvp.errors import BrainMVPError
from brainmvp.serve import INSTALL_MONAI_LABEL, LOOPBACK, app_folder, port_is_free

# More than twice what a study takes with a built-in model, with the libraries loaded (lib/brainmvp/training/README.md).
_MEMORY_GIB = 2.0
_IMPORT_SECONDS = 180

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` says what to do where it is not ok."""

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(port: int = 8000) -> list[Check]:
    """Return the findings about Python, PyTorch, the models, memory, the server's port and MONAI Label."""
    torch = _torch()
    models = Check("Models", "warning", "not looked at", "See to PyTorch first.")
    if torch.state != "problem":
        try:
            models = _models()
        except OSError as error:
            models = Check("Models", "problem", str(error), "Set BRAINMVP_HOME to a folder that you may use.")
    return [_python(), torch, models, _memory(), _port(port), _app(), _monai_label(), _torchvision()]


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, brainmvp {__version__}"
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Check("Python", "ok", found)
    return Check("Python", "problem", found, "Install Python 3.11 or 3.12.")


def _torch() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a missing shared library
        return Check("PyTorch", "problem", str(error), "Run `pip install torch==2.13.0`.")
    if torch.cuda.is_available():
        return Check("PyTorch", "ok", f"{torch.__version__}, {torch.cuda.get_device_name()}")
    return Check("PyTorch", "ok", f"{torch.__version__}, CPU with {torch.get_num_threads()} threads")


def _models() -> Check:
    from brainmvp.modelstore import ModelStore
    from brainmvp.tasks import task_names

    store = ModelStore()
    problems = []
    for name in task_names():
        try:
            store.resolve(name).load_weights()
        except BrainMVPError as error:
            problems.append(str(error))
    if problems:
        return Check(
            "Models", "problem", " ".join(problems), "Install brainmvp again, or see `brainmvp models list`."
        )
    found = f"{', '.join(model.card.id for model in store.models())}; own ones in {store.root}"
    parent = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    if not os.access(parent, os.W_OK):
        return Check(
            "Models", "warning", f"{found}, which cannot be written", "Set BRAINMVP_HOME to another folder."
        )
    return Check("Models", "ok", found)


def _memory() -> Check:
    free = psutil.virtual_memory().available / 2**30
    found = f"{free:.1f} GiB free"
    if free >= _MEMORY_GIB:
        return Check("Memory", "ok", found)
    return Check("Memory", "warning", found, f"Close programs: a study takes up to {_MEMORY_GIB:.0f} GiB.")


def _port(port: int) -> Check:
    remedy = "Use `brainmvp serve --port` with another one."
    try:
        if port_is_free(LOOPBACK, port):
            return Check("Port", "ok", f"{port} is free")
    except BrainMVPError:
        return Check("Port", "warning", f"{port} is kept for others by the system", remedy)
    return Check("Port", "warning", f"{port} is in use", remedy)


def _app() -> Check:
    try:
        return Check("Server app", "ok", str(app_folder()))
    except BrainMVPError as error:
        return Check("Server app", "problem", "missing", str(error))


def _monai_label() -> Check:
    """Import what the server imports, in a process of its own: seconds, and gigabytes that this one can do without."""
    if importlib.util.find_spec("monailabel") is None:
        remedy = f'Run `pip install "brainmvp[server]"` and `{INSTALL_MONAI_LABEL}`.'
        return Check("MONAI Label", "problem", "not installed", remedy)
    version = metadata.version("monailabel")
    script = "import monailabel.interfaces.app, monailabel.endpoints.infer"
    try:
        run = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(
            "MONAI Label", "warning", f"{version} took over {_IMPORT_SECONDS} s to import", "Try again."
        )
    if run.returncode == 0:
        return Check("MONAI Label", "ok", f"{version} imports")
    last = (run.stderr.strip().splitlines() or ["no message"])[-1]
    return Check("MONAI Label", "problem", f"{version}: {last}", 'Run `pip install "brainmvp[server]"`.')


def _torchvision() -> Check:
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", "ok", "not installed, as it should be")
    found = f"{metadata.version('torchvision')} is installed"
    return Check(
        "torchvision",
        "warning",
        found,
        "It breaks beside a CPU PyTorch: `pip uninstall torchvision`.",
    )
