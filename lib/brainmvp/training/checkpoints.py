"""What a training run keeps on disk, so that it can be stopped and go on."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from brainmvp.errors import BrainMVPError, first_line
from brainmvp.files import atomically
from brainmvp.training.learner import Learner

_COMPLETE = "checkpoint.pt"


def save_run(folder: Path, learner: Learner, progress: dict[str, Any]) -> None:
    """Write the complete state, and the network's averaged weights as PRESET.safetensors in half precision.

    progress: plain numbers; it also goes into the header of the weights.
    """
    state = {"learners": {learner.preset: learner.state()}, "progress": progress}
    atomically(folder / _COMPLETE, lambda path: torch.save(state, path))
    weights = {
        key: value.half().contiguous().cpu() if value.is_floating_point() else value.cpu()
        for key, value in learner.average.items()
    }
    header = {"progress": json.dumps(progress | {"step_count": learner.step_count})}
    atomically(
        folder / f"{learner.preset}.safetensors", lambda path: save_file(weights, path, metadata=header)
    )


def load_run(folder: Path, learner: Learner, device: torch.device) -> dict[str, Any] | None:
    """Bring the learner to where the run stopped and return its progress; None if there is nothing to go on from.

    From the complete state where it is there, else from the averaged weights. Raises `BrainMVPError` if the run was
    of another network or a file is damaged.
    """
    try:
        if (folder / _COMPLETE).is_file():
            state = torch.load(folder / _COMPLETE, map_location=device, weights_only=True)
            learner.restore(state["learners"][learner.preset])
            return state["progress"]
        path = folder / f"{learner.preset}.safetensors"
        if not path.is_file():
            return None
        weights, progress = read_weights(path)
        learner.start_from({key: value.float() for key, value in weights.items()}, progress["step_count"])
        return progress
    except (RuntimeError, KeyError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise BrainMVPError(
            f"{folder} holds a run that cannot go on ({first_line(error)}); choose an empty folder."
        ) from error


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return averaged weights and the progress of the run that they are from."""
    with safe_open(path, "pt") as stored:
        weights = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  (it is no dict)
        return weights, json.loads(stored.metadata()["progress"])
