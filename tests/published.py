"""Published weights and inputs of the parity files: functions of a name or a seed, see `shared/parity/README.md`."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor


def formula(parity: Path) -> ModuleType:
    """Return the module that makes weights (`fill`) and inputs (`image`)."""
    spec = importlib.util.spec_from_file_location("parity_fill", parity / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(parity: Path, keys: str) -> dict[str, Tensor]:
    """Return a published state dict, from the list of its names and shapes."""
    fill = formula(parity).fill
    lines = (line.split(" ", 1) for line in (parity / keys).read_text().splitlines())
    return {name: torch.from_numpy(fill(name, ast.literal_eval(shape))) for name, shape in lines}
