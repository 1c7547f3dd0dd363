"""Score a classification model on studies whose class is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brainmvp.calibration import Reliability
from brainmvp.case import Case, class_index
from brainmvp.classify import Classification, StudyClassifier
from brainmvp.evaluation.classification import by_patient, classification_metrics
from brainmvp.evaluation.statistics import Interval, interval, resampled
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task

METRICS = ("accuracy", "auc", "f1")


@dataclass(frozen=True)
class Answers:
    """What models say of cases: probabilities (N, K), classes (N,), and each case's id, patient and model."""

    probabilities: np.ndarray
    targets: np.ndarray
    ids: list[str]
    patients: list[str]
    models: list[str]

    def correct(self) -> np.ndarray:
        """Return whether each patient (in the order of first appearance) is classified rightly, (P,) bool."""
        means, wanted, _ = by_patient(self.probabilities, self.targets, self.patients)
        return means.argmax(1) == wanted

    def part(self, start: int, end: int) -> "Answers":
        """Return the answers to the cases from one to another."""
        rows = slice(start, end)
        return Answers(
            self.probabilities[rows],
            self.targets[rows],
            self.ids[rows],
            self.patients[rows],
            self.models[rows],
        )


def answer_rows(answers: Answers, task: Task) -> list[dict[str, object]]:
    """Return one row per case, for a CSV."""
    keys = [c.key for c in task.classes]
    return [
        {
            "case": answers.ids[i],
            "patient": answers.patients[i],
            "model": answers.models[i],
            "class": keys[answers.targets[i]],
            "answer": keys[int(row.argmax())],
            **{f"p({key})": float(p) for key, p in zip(keys, row, strict=True)},
        }
        for i, row in enumerate(answers.probabilities)
    ]


def answer_cases(
    pairs: list[tuple[StudyClassifier, Case]],
    tell: Callable[[str, float], None],
    only: tuple[Sequence, ...] | None = None,
    keep: Callable[[Answers], None] = lambda answers: None,
) -> Answers:
    """Classify every case, with all of its sequences or some; keep: called with the answers so far, after each case.

    Raises `BrainMVPError` naming a case that cannot be used.
    """
    targets = [class_index(classifier.task, case) for classifier, case in pairs]
    cases = [case for _, case in pairs]
    found: list[Classification] = []
    for number, (classifier, case) in enumerate(pairs):
        tell(case.id, number / len(pairs))
        found.append(classifier.classify(case.study if only is None else case.study.only(only)))
        keep(_answers(found, targets, cases))
    return _answers(found, targets, cases)


def _answers(found: list[Classification], targets: list[int], cases: list[Case]) -> Answers:
    """Return what was found of the first cases."""
    known = cases[: len(found)]
    return Answers(
        np.array([list(one.probabilities.values()) for one in found]),
        np.array(targets[: len(found)]),
        [case.id for case in known],
        [case.group for case in known],
        [one.model for one in found],
    )


def intervals(answers: Answers) -> dict[str, Interval]:
    """Return accuracy, AUC and F1 by patient, with their intervals over resampled patients.

    A patient whose class changed is drawn with both. AUC and F1 are means over the classes: without a patient of one
    of them they are NaN, and resamplings without one do not count. One patient has no interval.
    """
    means, wanted, who = by_patient(answers.probabilities, answers.targets, answers.patients)
    rows_of: dict[str, list[int]] = {}
    for row, patient in enumerate(who):
        rows_of.setdefault(patient, []).append(row)
    rows_by_number = list(rows_of.values())

    def metrics(rows: np.ndarray) -> np.ndarray:
        found = classification_metrics(means[rows], wanted[rows], [str(row) for row in range(len(rows))])
        return np.array([found[name] for name in METRICS])

    drawn = resampled(
        len(rows_by_number), lambda chosen: metrics(np.concatenate([rows_by_number[n] for n in chosen])), 500
    )
    values = metrics(np.arange(len(wanted)))
    return {name: interval(values[k], drawn[:, k]) for k, name in enumerate(METRICS)}


def class_reliability(answers: Answers, task: Task) -> dict[str, Reliability]:
    """Return the reliability of each class's probabilities, over the patients."""
    means, wanted, _ = by_patient(answers.probabilities, answers.targets, answers.patients)
    return {c.key: Reliability.of(means[:, k], wanted == k, bins=5) for k, c in enumerate(task.classes)}
