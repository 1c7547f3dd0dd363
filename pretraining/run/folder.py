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
# What is said of a run that goes on under other conditions: what it had, and what is there now.
_OTHER = {
    "processes": "is a run of {} processes, one per device, not of {}; start as many, on any number of computers.",
    "precision": "is a run in {0}, not in {1}; add --precision {0}.",
    "studies": "is a run on {} prepared studies, and the cache has {}; give it the cache that it had.",
}


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
    def begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return any(self.checkpoints.glob("*.pt"))

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end and left its model; the card of a model is written last."""
        return (self.model / "card.json").is_file()

    def start(
        self, config: Config, index_path: Path, index: Index, conditions: dict[str, Any], prepared: dict[str, str],
        left_out: list[str],
    ) -> None:  # fmt: skip
        """Write what a new run is; raises `BrainMVPError` if the folder holds one with a checkpoint.

        conditions: see `devices.conditions`; prepared: by id of those that train, what was prepared of a study;
        left_out: ids of the studies of which nothing was.
        """
        if self.begun:
            raise BrainMVPError(
                f"{self.root} holds a run; add --resume to go on with it, or choose another folder."
            )
        record = {
            "config": config.model_dump(mode="json"),
            "index": {
                "file": str(index_path.resolve()), "sha256": index.fingerprint, "sessions": len(index.sessions)
            },
            "conditions": conditions,
            "prepared": prepared,
            "left_out": left_out,
        }  # fmt: skip
        write_json(self._config, record)

    def config(self) -> Config:
        """Return the configuration of the run in the folder; raises `BrainMVPError` if it cannot be read."""
        return self._read()[1]

    def resume(self, index: Index) -> Config:
        """Return the configuration; raises `BrainMVPError` if it cannot be read, or is of a run on another cohort."""
        record, config = self._read()
        if record["index"]["sha256"] != index.fingerprint:
            raise BrainMVPError(
                f"{self.root} was trained on another index ({record['index']['file']}); resume with that one."
            )
        return config

    def left_out(self) -> list[str]:
        """Return the ids of the studies that the run began without, whether they are prepared now or not."""
        return self._read()[0].get("left_out", [])

    def check(self, conditions: dict[str, Any], prepared: dict[str, str]) -> None:
        """Raise `BrainMVPError` if the run began under other conditions, or with more or less of a study prepared.

        It would not go on to the same numbers. The arguments are those of `start`.
        """
        record = self._read()[0]
        known = record.get("conditions", conditions)  # an older version did not note them
        for name, value in conditions.items():
            if known.get(name, value) != value:
                raise BrainMVPError(f"{self.root} {_OTHER[name].format(known[name], value)}")
        for study, then in record.get("prepared", {}).items():
            if prepared.get(study) != then:
                raise BrainMVPError(
                    f"{self.root} began with {then} of {study}, and the cache has {prepared.get(study, 'nothing')} of "
                    "it now; give it the cache that it had, or start in an empty folder."
                )

    def _read(self) -> tuple[dict[str, Any], Config]:
        try:
            record = json.loads(self._config.read_text("utf-8"))
            return record, Config.model_validate(record["config"])
        except FileNotFoundError:
            raise BrainMVPError(
                f"{self.root} holds no run to resume; leave out --resume to start one."
            ) from None
        except (ValueError, KeyError, ValidationError) as error:
            raise BrainMVPError(f"{self._config} is damaged ({error}); start a new run.") from error

    def records(self) -> list[dict[str, Any]]:
        """Return all records of the log; a line that a crash cut short is passed over."""
        records = []
        for line in self.log.read_text("utf-8").splitlines() if self.log.is_file() else ():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

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
