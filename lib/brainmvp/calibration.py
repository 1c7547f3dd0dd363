"""Probabilities that mean what they say: of the voxels called 70 %, seven in ten should be lesion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.dice import dice
from brainmvp.files import atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 15
# What a temperature may be; beyond these a model is broken rather than badly calibrated.
_COLDEST, _HOTTEST = 0.25, 4.0
# Most of a brain is far from any lesion and easily right; this near to one a probability is put to the test, mm.
NEAR_MM = 10.0
_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: for equal bins of probability, what was said, what was true, and of how many voxels.

    said, true: (bins,) means, NaN where a bin is empty; count: (bins,).
    """

    said: np.ndarray
    true: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, truth: np.ndarray, bins: int = _BINS) -> "Reliability":
        """Compare probabilities 0…1 with the truth (bool), of the same shape."""
        return cls.of_sums(bin_sums(probabilities, truth, bins))

    @classmethod
    def of_sums(cls, sums: np.ndarray) -> "Reliability":
        """Return the diagram of `bin_sums` (3, bins), or of those of many parts, added up."""
        with np.errstate(invalid="ignore"):
            return cls(sums[0] / sums[2], sums[1] / sums[2], sums[2].astype(int))

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al., ICML 2017): the mean gap, weighed by the voxels of each bin."""
        gap = np.abs(np.nan_to_num(self.said - self.true))
        return float((gap * self.count).sum() / max(self.count.sum(), 1))


def bin_sums(probabilities: np.ndarray, truth: np.ndarray, bins: int = _BINS) -> np.ndarray:
    """Return by bin of probability the sums of what is said and of what is true, and the count, (3, bins)."""
    said = np.ravel(probabilities)
    index = np.minimum((said * bins).astype(int), bins - 1)
    weights = (said, np.ravel(truth).astype(float), None)
    return np.stack([np.bincount(index, values, bins).astype(float) for values in weights])


def near_lesion(lesion: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return where a lesion is no more than `NEAR_MM` away, (X, Y, Z) bool; lesion: likewise; spacing: mm by axis."""
    from scipy import ndimage

    if not lesion.any():
        return np.zeros_like(lesion)
    return ndimage.distance_transform_edt(~lesion, sampling=spacing) <= NEAR_MM


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """Return what to divide logits by, so that their probabilities fit the truth best (Guo et al., ICML 2017).

    logits: float, truth: bool, of the same shape. The least cross-entropy, by golden-section search over the logarithm;
    1 where there is nothing to fit.
    """
    if not truth.any() or truth.all():
        return 1.0
    logits, target = logits.float(), truth.float()

    def loss(log_temperature: float) -> float:
        return float(functional.binary_cross_entropy_with_logits(logits / np.exp(log_temperature), target))

    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    golden = (np.sqrt(5) - 1) / 2
    while high - low > 0.01:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round(float(np.exp((low + high) / 2)), 3)


def best_threshold(
    probabilities: list[Tensor], truths: list[Tensor], slack: float = 0.0
) -> tuple[float, float]:
    """Return the threshold of 0.3 to 0.6 with the best mean Dice over cases, and its Dice.

    probabilities: float, truths: bool, each pair of the same shape, none of the truths empty; slack: the lowest
    threshold is taken whose Dice is not worse than the best by more than this.
    """

    def mean_dice(threshold: float) -> float:
        pairs = zip(probabilities, truths, strict=True)
        return sum(dice(case > threshold, truth) for case, truth in pairs) / len(truths)

    by_threshold = {threshold: mean_dice(threshold) for threshold in _THRESHOLDS}
    least = max(by_threshold.values()) - slack
    lowest = min(threshold for threshold, mean in by_threshold.items() if mean >= least)
    return lowest, by_threshold[lowest]


def error_auc(uncertainty: np.ndarray, wrong: np.ndarray) -> float | None:
    """Return how well the uncertainty tells wrong voxels from right ones: the area under the ROC curve.

    uncertainty: float, wrong: bool, of the same shape. 1 is perfect, 0.5 is chance; None if all are right or all wrong.
    """
    if wrong.all() or not wrong.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.ravel(wrong), np.ravel(uncertainty)))


def draw_reliability(
    curves: dict[str, Reliability], path: Path, of: tuple[str, str] = ("lesion", "voxels")
) -> "Figure":
    """Draw reliability diagrams, one line per name, with the share of all in each bin below; return the figure.

    of: what the probability is of, and what it is said about.
    """
    from matplotlib.figure import Figure

    figure = Figure((5.2, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="0.7", linestyle="--", label="perfect")
    for name, curve in curves.items():
        filled = curve.count > 0
        above.plot(
            curve.said[filled], curve.true[filled], marker="o", markersize=3,
            label=f"{name} (error {100 * curve.error:.2f} %)",
        )  # fmt: skip
        below.plot(curve.said[filled], curve.count[filled] / curve.count.sum(), marker="o", markersize=3)
    above.set(ylabel=f"share that is {of[0]}", xlim=(0, 1), ylim=(0, 1))
    above.legend(fontsize=8)
    below.set(xlabel="probability", ylabel=f"share of {of[1]}", yscale="log")
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))
    return figure


def temper(logits: Tensor, temperatures: Tensor) -> Tensor:
    """Return probabilities (R, ...) of logits (R, ...) with one temperature per region (R,)."""
    return torch.sigmoid(logits / temperatures.reshape(-1, *[1] * (logits.ndim - 1)))
