"""What differs between learning to segment and learning to classify: samples, loss, validation."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from brainmvp.finetune.prepared import PreparedCase

Sample = dict[str, Tensor]


@dataclass(frozen=True)
class Validation:
    """How good a network is on cases that it does not learn from; higher is better.

    score: what the best weights are chosen by; by_name: it by region, or by metric.
    """

    score: float
    by_name: dict[str, float]


class Problem(Protocol):
    """One kind of task, as the loop sees it.

    window: voxels that the network sees at once; thresholds and temperatures: by region, as a card has them.
    """

    window: tuple[int, int, int]
    thresholds: dict[str, float]
    temperatures: dict[str, float]

    def order(self, cases: list[PreparedCase], generator: torch.Generator) -> list[int]:
        """Return the cases of an epoch, by position."""

    def sample(self, case: PreparedCase, generator: torch.Generator) -> Sample:
        """Return one training sample, without a batch axis."""

    def loss(self, network: nn.Module, batch: Sample) -> Tensor:
        """Return the loss of a batch."""

    def predict(self, network: nn.Module, case: PreparedCase) -> np.ndarray:
        """Return what validation needs to know of one case, a small array."""

    def validate(self, predictions: list[np.ndarray], cases: list[PreparedCase]) -> Validation:
        """Sum up the predictions of all validation cases."""

    def calibrated(self, network: nn.Module, cases: list[PreparedCase]) -> "Problem":
        """Return the problem with the thresholds and temperatures that fit validation cases best."""
