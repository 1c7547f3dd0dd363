"""Metrics of a classification, by patient."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score


def by_patient(
    probabilities: np.ndarray, targets: np.ndarray, patients: list[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the mean probabilities (P, K), the class (P,) and the name of each patient, of studies (N, K) and (N,).

    A patient whose studies have several classes (a diagnosis changed) counts once for each.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for index, (patient, target) in enumerate(zip(patients, targets.tolist(), strict=True)):
        groups.setdefault((patient, target), []).append(index)
    means = np.stack([probabilities[rows].mean(0) for rows in groups.values()])
    return means, np.array([target for _, target in groups]), [patient for patient, _ in groups]


def classification_metrics(
    probabilities: np.ndarray, targets: np.ndarray, patients: list[str]
) -> dict[str, float]:
    """Return accuracy, AUC and F1 by patient, of probabilities (N, K) and classes (N,).

    AUC and F1 are means over the classes (macro), as the official code takes them, and NaN where a class has no
    patient; AUC is of one class against the rest.
    """
    means, wanted, _ = by_patient(probabilities, targets, patients)
    found = means.argmax(1)
    classes = range(means.shape[1])
    complete = len(set(wanted.tolist())) == len(classes)
    metrics = {"accuracy": float(accuracy_score(wanted, found)), "auc": np.nan, "f1": np.nan}
    if complete:
        metrics["auc"] = float(np.mean([roc_auc_score(wanted == k, means[:, k]) for k in classes]))
        metrics["f1"] = float(f1_score(wanted, found, average="macro", zero_division=0))
    return metrics
