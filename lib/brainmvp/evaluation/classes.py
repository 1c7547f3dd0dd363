"""Score a classification model on studies whose class is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brainmvp.calibration import Reliability
from brainmvp.case import Case, class_index
from brainmvp.classify import StudyClassifier
from brainmvp.evaluation.classification import by_patient, classification_metrics
from brainmvp.evaluation.statistics import Interval, interval, resampled
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task

METRICS = ("accuracy", "auc", "f1")


@dataclass(frozen=True)
class Answers:
    """What a model says of cases: probabilities (N, K), classes (N,), and each case's id and patient."""

    probabilities: np.ndarray
    targets: np.ndarray
    ids: list[str]
    patients: list[str]

    def correct(self) -> np.ndarray:
        """Return whether each patient (in the order of first appearance) is classified rightly, (P,) bool."""
        means, wanted = by_patient(self.probabilities, self.targets, self.patients)
        return means.argmax(1) == wanted


def answer_cases(
    classifier: StudyClassifier,
    cases: list[Case],
    tell: Callable[[str, float], None],
    only: tuple[Sequence, ...] | None = None,
) -> Answers:
    """Classify every case, with all of its sequences or some; raises `BrainMVPError` naming one that cannot be used."""
    rows = []
    for number, case in enumerate(cases):
        tell(case.id, number / len(cases))
        study = case.study if only is None else case.study.only(only)
        rows.append(list(classifier.classify(study).probabilities.values()))
    targets = np.array([class_index(classifier.task, case) for case in cases])
    return Answers(np.array(rows), targets, [c.id for c in cases], [c.group for c in cases])


def intervals(answers: Answers) -> dict[str, Interval]:
    """Return accuracy, AUC and F1 by patient, with their intervals."""
    means, wanted = by_patient(answers.probabilities, answers.targets, answers.patients)
    own = [str(row) for row in range(len(wanted))]

    def metrics(rows: np.ndarray) -> np.ndarray:
        found = classification_metrics(means[rows], wanted[rows], own)
        return np.array([found[name] for name in METRICS])

    drawn = resampled(len(wanted), metrics, samples=500)
    values = metrics(np.arange(len(wanted)))
    return {name: interval(values[k], drawn[:, k]) for k, name in enumerate(METRICS)}


def class_reliability(answers: Answers, task: Task) -> dict[str, Reliability]:
    """Return the reliability of each class's probabilities, over the patients."""
    means, wanted = by_patient(answers.probabilities, answers.targets, answers.patients)
    return {c.key: Reliability.of(means[:, k], wanted == k, bins=5) for k, c in enumerate(task.classes)}
