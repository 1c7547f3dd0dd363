"""What a fine-tuning tells while it runs, and what comes out of it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from brainmvp.card import Card
from brainmvp.modelstore import Model, ModelStore


@dataclass(frozen=True)
class Progress:
    """Where a run is. epoch, step: from 1; scores: the last validation, Dice by region or metrics by name."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    scores: dict[str, float]
    seconds_left: float

    @property
    def share(self) -> float:
        """The share of the run that is done."""
        return (self.epoch - 1 + self.step / self.steps) / self.epochs


def duration(seconds: float) -> str:
    """Return a time as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class FineTuned:
    """The end of a run, or where it was stopped.

    weights: those with the best validation (of a run stopped before its first one: the last); metrics: scores of that
    validation, by region or name; history: one record per epoch; finished: False if it was stopped and can go on;
    prepared: how the names of the files begin, where prepared studies are kept, that it learned from.
    """

    weights: dict[str, Tensor]
    card: Card
    metrics: dict[str, float]
    history: list[dict[str, Any]]
    finished: bool
    prepared: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        for name, value in sorted(self.weights.items()):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def store(self, store: ModelStore, name: str | None = None) -> Model:
        """Put the model into a store as the next version of `name` (the task's); it is not served by that."""
        name = name or self.card.name
        card = self.card.model_copy(update={"name": name, "version": store.next_version(name)})
        return store.add(card, self.weights)
