"""From a study to the probability of each class."""

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from brainmvp.brain import BUILT_IN
from brainmvp.card import NOTICE
from brainmvp.device import pick_device
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.prepare import prepare
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task, get_task


@dataclass(frozen=True)
class Classification:
    """What a model says of a study: the probability of each class, by key.

    flagged: why a sequence that was scanned was not used; brain_doubt: why to look at the brain that was found, or
    None.
    """

    study: Study
    task: Task
    model: str
    probabilities: dict[str, float]
    used: tuple[Sequence, ...]
    filled: tuple[Sequence, ...]
    flagged: dict[Sequence, str]
    brain_doubt: str | None = None

    @property
    def answer(self) -> str:
        """The key of the most probable class."""
        return max(self.probabilities, key=lambda key: self.probabilities[key])

    @property
    def notes(self) -> list[str]:
        """What is odd about the DICOM series that were used, a sentence each without its full stop."""
        return self.study.notes(self.used)

    def report(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        return {
            "study": self.study.id,
            "task": self.task.name,
            "model": self.model,
            "made": date.today().isoformat(),
            "notice": NOTICE,
            "answer": self.answer,
            "probabilities": {key: round(value, 4) for key, value in self.probabilities.items()},
            "class_names": {c.key: c.name for c in self.task.classes},
            "sequences_used": [str(sequence) for sequence in self.used],
            "sequences_filled": [str(sequence) for sequence in self.filled],
            "sequences_flagged": {str(sequence): reason for sequence, reason in self.flagged.items()},
            "notes": self.notes,
            "brain_doubt": self.brain_doubt,
        }


class StudyClassifier:
    """A model version, ready to classify studies; safe to share between threads."""

    def __init__(self, model: Model, device: str = "auto", brain: str = BUILT_IN) -> None:
        """brain: who finds it where the skull is still there, one of `brain.CHOICES`."""
        card = model.card
        if card.kind != "classification" or card.task is None or card.grid is None:
            raise BrainMVPError(f"{card.id} is no classification model ({card.kind}); choose another.")
        self.card, self.task, self.device = card, get_task(card.task), pick_device(device)
        self._prepare = partial(prepare, brain_tool=brain)
        model.check_outputs(self.task.outputs)
        self.network = model.load_network().to(self.device, memory_format=torch.channels_last_3d)

    @classmethod
    def load(
        cls,
        task: str,
        model: str | None = None,
        device: str = "auto",
        store: ModelStore | None = None,
        brain: str = BUILT_IN,
    ) -> "StudyClassifier":
        """Return the classifier of a task, with its served model or the one named (`NAME` or `NAME@VERSION`).

        Raises `BrainMVPError` if there is no such task or model, or the model is of another task.
        """
        if get_task(task).kind != "classification":
            raise BrainMVPError(f"{task} is a task to segment, not to classify; use `brainmvp segment`.")
        return cls((store or ModelStore()).resolve_for(task, model), device, brain)

    def classify(self, study: Study) -> Classification:
        """Classify a study.

        Sequences that are missing, or whose alignment is doubtful, are filled with zeros and named in the result.
        Raises `BrainMVPError` if the study is below the task's minimum or a file cannot be used.
        """
        self.task.check_sequences(set(study.images), study.id, study.unusable)
        prepared = self._prepare(study, self.card.sequences, study.reference(self.task), self.card.spacing)
        self.task.check_sequences(set(prepared.used), study.id, prepared.flagged)
        images = resize(prepared.images, self.card.grid)
        with torch.inference_mode():
            values = class_probabilities(self.network, images.numpy(), self.card.window)
        said = dict(zip(self.card.regions, values.tolist(), strict=True))
        named = {c.key: said[c.key] for c in self.task.classes}
        return Classification(
            study,
            self.task,
            self.card.id,
            named,
            prepared.used,
            prepared.filled,
            prepared.flagged,
            prepared.found.doubt,
        )


def resize(images: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """Return a brain's box (C, X, Y, Z) resized to `grid` voxels (official code: 128 x 128 x 64)."""
    return functional.interpolate(images[None], grid, mode="trilinear", align_corners=False)[0]


def class_probabilities(
    network: torch.nn.Module, images: np.ndarray, window: tuple[int, int, int]
) -> np.ndarray:
    """Return the probability of each class of a resized brain (C, X, Y, Z), from the window in its middle."""
    corner = [max(size - edge, 0) // 2 for size, edge in zip(images.shape[1:], window, strict=True)]
    device = next(network.parameters()).device
    image = crop(images, corner, window)[None].to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = network(image)
    return logits[0].float().softmax(0).cpu().numpy()


def crop(images: np.ndarray, corner: list[int], window: tuple[int, int, int]) -> torch.Tensor:
    """Return a crop (C, *window) float32, padded with zeros at the far ends where the image is smaller."""
    box = tuple(slice(c, c + edge) for c, edge in zip(corner, window, strict=True))
    part = torch.from_numpy(np.array(images[(slice(None), *box)], np.float32))
    missing = [edge - size for edge, size in zip(window, part.shape[1:], strict=True)]
    return functional.pad(part, [n for edge in reversed(missing) for n in (0, edge)])
