"""How sure a mean is, and whether two models differ: by patient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

_SAMPLES = 2000
_SEED = 20250611


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Comparison:
    """Two models on the same cases: mean difference (second minus first) with its interval, and a p-value."""

    difference: Interval
    p_value: float
    test: str
    patients: int


def patient_means(values: dict[str, list[float]]) -> np.ndarray:
    """Return the mean of each patient's values, in the order of their names."""
    return np.array([np.mean(values[patient]) for patient in sorted(values)])


def bootstrap(values: np.ndarray, samples: int = _SAMPLES) -> Interval:
    """Return the mean of values (P,), one per patient, with its 95 % interval over resampled patients.

    One patient has none. The same values give the same interval.
    """
    drawn = resampled(len(values), lambda rows: np.mean(values[rows]), samples)
    return interval(float(np.mean(values)), drawn)


def resampled(patients: int, statistic: Callable[[np.ndarray], Any], samples: int = _SAMPLES) -> np.ndarray:
    """Return a statistic of the rows of as many patients, drawn with replacement, (samples, ...).

    Of one patient, who would always be drawn, it is not a number.
    """
    if patients < 2:
        return np.full_like(statistic(np.arange(patients)), np.nan, dtype=float)[None]
    rng = np.random.default_rng(_SEED)
    return np.array([statistic(rng.integers(0, patients, patients)) for _ in range(samples)])


def interval(value: float, drawn: np.ndarray) -> Interval:
    """Return a value with the 95 % percentile interval of its resamplings.

    Those that are not a number (a class was not drawn) do not count.
    """
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.percentile(drawn, (2.5, 97.5)) if len(drawn) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def compare_means(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare paired values, one per patient, by Wilcoxon's signed-rank test (1 where all are equal)."""
    difference = second - first
    p = 1.0 if not difference.any() else float(stats.wilcoxon(difference).pvalue)
    return Comparison(bootstrap(difference), p, "Wilcoxon signed-rank", len(difference))


def compare_answers(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two classifiers' right answers (bool, one per patient) by McNemar's exact test."""
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return Comparison(bootstrap(second.astype(float) - first), p, "McNemar, exact", len(first))
