"""What a run keeps in its folder, so that it can be stopped at any step and go on to the same numbers."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically, write_json
from brainmvp.tasks import Recipe

_STATE, _BEST, _RUN = "checkpoint.pt", "best.safetensors", "run.json"
# Facts that an older version did not note.
_NEWER = ("processes", "meaning", "network", "grid", "labels")
# Parts of a task's meaning that an older version noted with their codes, which teach nothing.
_CODED = ("labels", "regions")


class RunFolder:
    """The folder of one run.

    `run.json` says what the run is; `checkpoint.pt` holds everything that a step needs; `best.safetensors` the weights
    that validated best.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder)

    def open(self, facts: dict[str, Any]) -> None:
        """Begin a run, or check that the one that is here has the same facts; raises `BrainMVPError` if not.

        One that kept neither state nor weights, ended by a bad label perhaps, has nothing to lose: whatever is asked
        for is begun. One whose state was deleted begins anew.
        """
        path = self.path / _RUN
        facts = json.loads(json.dumps(facts))
        state, best = self.path / _STATE, self.path / _BEST
        if path.is_file() and (state.is_file() or best.is_file()):
            stored = self._read(path)
            stored = {name: facts[name] for name in _NEWER} | stored
            for coded in (entry for part in _CODED for entry in stored["meaning"].get(part, ())):
                coded.pop("code", None)
            different = [name for name in facts if stored.get(name) != facts[name]]
            if different == ["processes"]:
                raise BrainMVPError(
                    f"{self.path} holds a run of {stored['processes']} processes, one per device, not of "
                    f"{facts['processes']}; start as many, or choose an empty folder."
                )
            if different == ["labels"]:
                raise BrainMVPError(
                    f"{self.path} holds a run of before a label or class was changed; choose an empty folder to learn "
                    "from those of now."
                )
            if "meaning" in different:
                raise BrainMVPError(
                    f"{self.path} holds a run of before the {facts['task']} task was changed: its sequences, labels, "
                    "regions or classes; choose an empty folder to learn it as it is now."
                )
            if different:
                raise BrainMVPError(
                    f"{self.path} holds another run (its {', '.join(different)} differs); choose an empty folder."
                )
        if not state.is_file():
            best.unlink(missing_ok=True)
            write_json(path, facts)

    def begun(self) -> tuple[Recipe, str | None] | None:
        """Return the recipe of the run that is here and the model that it starts from, or None if there is no run."""
        path = self.path / _RUN
        if not path.is_file():
            return None
        facts = self._read(path)
        try:
            return Recipe.model_validate(facts["recipe"]), facts["start"]
        except (ValueError, KeyError) as error:
            raise BrainMVPError(f"{path} is damaged; choose an empty folder.") from error

    def save(self, state: dict[str, Any]) -> None:
        """Keep the complete state of a run."""
        atomically(self.path / _STATE, lambda path: torch.save(state, path))

    def load(self) -> dict[str, Any] | None:
        """Return the state that the run stopped with, or None; raises `BrainMVPError` if it is damaged."""
        path = self.path / _STATE
        if not path.is_file():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # an unpickler trips over a damaged file in any way
            raise BrainMVPError(f"{path} is damaged; delete it to train again from the start.") from error

    def save_best(self, weights: dict[str, Tensor]) -> None:
        """Keep the best weights so far."""
        held = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
        atomically(self.path / _BEST, lambda path: save_file(held, path))

    def load_best(self) -> dict[str, Tensor] | None:
        """Return the best weights, or None before the first validation; raises `BrainMVPError` if damaged."""
        path = self.path / _BEST
        if not path.is_file():
            return None
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise BrainMVPError(f"{path} is damaged; train again in an empty folder.") from error

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Write the record of each epoch as `history.json`."""
        write_json(self.path / "history.json", history)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text("utf-8"))
            return content if isinstance(content, dict) else {}
        except ValueError as error:
            raise BrainMVPError(f"{path} is damaged; choose an empty folder.") from error
