"""The run folder: everything that tells later what was run, on what, and how it went."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from brainmvp import __version__
from brainmvp.cohort import Index
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json

from .config import Config

_PACKAGES = ("torch", "lightning", "monai", "numpy", "blosc2", "nibabel", "SimpleITK")


class RunFolder:
    """Paths and records of one run: `config.json`, `environment.json`, `log.jsonl`, `checkpoints/`, `pictures/`, …"""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.pictures = root / "pictures"
        self.log = root / "log.jsonl"
        self.tensorboard = root / "tensorboard"
        self.model = root / "model"
        self._config = root / "config.json"

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end and left its model; the card of a model is written last."""
        return (self.model / "card.json").is_file()

    def start(self, config: Config, index_path: Path, index: Index) -> None:
        """Write what a new run is; raises `BrainMVPError` if the folder holds one with a checkpoint."""
        if any(self.checkpoints.glob("*.pt")):
            raise BrainMVPError(
                f"{self.root} holds a run; add --resume to go on with it, or choose another folder."
            )
        record = {
            "config": config.model_dump(mode="json"),
            "index": {
                "file": str(index_path.resolve()), "sha256": index.fingerprint, "sessions": len(index.sessions)
            },
        }  # fmt: skip
        write_json(self._config, record)

    def resume(self, index: Index) -> Config:
        """Return the configuration of the run in the folder.

        Raises `BrainMVPError` if there is none, it cannot be read, or it is of another cohort.
        """
        try:
            record = json.loads(self._config.read_text("utf-8"))
            config = Config.model_validate(record["config"])
        except FileNotFoundError:
            raise BrainMVPError(
                f"{self.root} holds no run to resume; leave out --resume to start one."
            ) from None
        except (ValueError, KeyError, ValidationError) as error:
            raise BrainMVPError(f"{self._config} is damaged ({error}); start a new run.") from error
        if record["index"]["sha256"] != index.fingerprint:
            raise BrainMVPError(
                f"{self.root} was trained on another index ({record['index']['file']}); resume with that one."
            )
        return config

    def describe(self, devices: str, steps: int) -> None:
        """Add to `environment.json` where and with what the run, or this part of it, is computed."""
        path = self.root / "environment.json"
        parts = json.loads(path.read_text("utf-8")) if path.is_file() else []
        write_json(path, [*parts, environment() | {"devices": devices, "steps": steps}])


def environment() -> dict[str, Any]:
    """Return versions, the commit of this checkout (None in an installed package), the machine and the command."""
    return {
        "brainmvp": __version__,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "cuda": torch.version.cuda,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "platform": platform.platform(),
        "command": sys.argv,
    }


def _git(*arguments: str) -> str | None:
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
