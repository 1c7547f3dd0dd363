"""Checkpoints: complete or not there at all."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from brainmvp.errors import BrainMVPError, first_line
from brainmvp.files import atomically

# The newest and, should that be damaged, the one before.
_KEPT = 2
_NAME = re.compile(r"step-(\d+)\.pt")


def save(folder: Path, model: nn.Module, optimizer: Optimizer, step: int) -> str | None:
    """Write `step-N.pt` and delete all but the last two; return None, or in one sentence why it was not written.

    There is nothing more to a state: draws are functions of the seed and the step (`data.stream`), and so is the
    learning rate. A full disk costs neither the checkpoints before nor the run.
    """
    content = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    path = folder / f"step-{step:07d}.pt"
    try:
        atomically(path, lambda temporary: torch.save(content, temporary))
    except (OSError, RuntimeError) as error:  # RuntimeError: what torch makes of a full disk
        reason = f"{path} could not be written ({first_line(error)})"
        return f"{reason}; make room on its disk: the run goes on, and what was saved before stays."
    for old in saved(folder)[_KEPT:]:
        old.unlink(missing_ok=True)
    return None


def saved(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest first."""
    files = [path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name)]
    return sorted(files, key=lambda path: int(_NAME.fullmatch(path.name)[1]), reverse=True)


def load_newest(folder: Path, model: nn.Module, optimizer: Optimizer, tell: Callable[[str], None]) -> int:
    """Read the newest checkpoint that can be read into the model and optimizer, and return its step.

    A damaged one is told. Raises `BrainMVPError` if there is none that can be read.
    """
    files = saved(folder)
    for path in files:
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(content["model"])
            optimizer.load_state_dict(content["optimizer"])
            return int(content["step"])
        except (RuntimeError, KeyError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            tell(f"{path} is damaged ({first_line(error)}); going on from the one before.")
    what = "is a checkpoint that can be read" if files else "is a checkpoint yet"
    raise BrainMVPError(f"Nothing in {folder} {what}; start the run again, without --resume.")
