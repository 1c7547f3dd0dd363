"""Learning to classify: crops of a resized brain, cross-entropy, classes drawn equally often."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.classify import class_probabilities, crop
from brainmvp.finetune.augment import change_intensity, draw_flips, turn
from brainmvp.finetune.prepared import PreparedCase
from brainmvp.finetune.problem import Sample, Validation
from brainmvp.finetune.randomness import between
from brainmvp.tasks import Recipe, Task


@dataclass(frozen=True)
class ClassificationProblem:
    """The classification problem of a task; window: voxels of a crop of the resized brain.

    Thresholds and temperatures it has none: the most probable class is the answer.
    """

    task: Task
    recipe: Recipe
    window: tuple[int, int, int]
    thresholds: dict[str, float] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)

    def order(self, cases: list[PreparedCase], generator: torch.Generator) -> list[int]:
        """Return as many cases as there are, drawn so that every class comes equally often (official code)."""
        targets = torch.tensor([case.target for case in cases])
        counts = torch.bincount(targets, minlength=len(self.task.classes)).clamp_min(1)
        return torch.multinomial(1 / counts[targets].double(), len(cases), True, generator=generator).tolist()

    def sample(self, case: PreparedCase, generator: torch.Generator) -> Sample:
        """Return `images` (C, X, Y, Z), a changed crop, and `targets` ()."""
        rooms = [max(size - edge, 0) for size, edge in zip(case.images.shape[1:], self.window, strict=True)]
        corner = [between(0, room, generator) for room in rooms]
        image = crop(case.images, corner, self.window)
        image = turn(image, generator)
        flips = draw_flips("flips" in self.recipe.published, generator)
        image = change_intensity(image.flip([axis + 1 for axis in flips]), generator)
        return {"images": image, "targets": torch.tensor(case.target)}

    def loss(self, network: nn.Module, batch: Sample) -> Tensor:
        """Return the cross-entropy of a batch."""
        return functional.cross_entropy(network(batch["images"]).float(), batch["targets"])

    def predict(self, network: nn.Module, case: PreparedCase) -> np.ndarray:
        """Return the probability of each class."""
        return class_probabilities(network, case.images, self.window)

    def validate(self, predictions: list[np.ndarray], cases: list[PreparedCase]) -> Validation:
        """Return accuracy, AUC and F1 by patient; AUC chooses, or accuracy where there is only one class."""
        from brainmvp.evaluation.classification import classification_metrics

        metrics = classification_metrics(
            np.stack(predictions), np.array([case.target for case in cases]), [case.patient for case in cases]
        )
        score = metrics["accuracy"] if np.isnan(metrics["auc"]) else metrics["auc"]
        return Validation(score, {name: value for name, value in metrics.items() if not np.isnan(value)})

    def calibrated(self, network: nn.Module, cases: list[PreparedCase]) -> "ClassificationProblem":
        """Return the problem as it is."""
        return self
