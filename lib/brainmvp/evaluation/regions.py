"""What the scores of many cases say of each region: means by patient, their intervals, and how two models differ."""

from dataclasses import replace

import numpy as np

from brainmvp.evaluation.page import Row
from brainmvp.evaluation.segmentation import METRICS, CaseScore
from brainmvp.evaluation.statistics import Comparison, bootstrap, compare_means, patient_means
from brainmvp.evaluation.tables import Summary
from brainmvp.tasks import Task

_PAGE_ROWS = 3  # of each of the best, middle and worst cases


def summarise(task: Task, scores: list[CaseScore]) -> Summary:
    """Return mean and interval by region and metric; `mean` is the mean over a patient's regions."""
    summary: Summary = {}
    for region in ("mean", *task.outputs):
        if region == "mean" and len(task.outputs) == 1:
            continue
        values = {name: by_patient(scores, region, name) for name in METRICS}
        if values["dice"]:
            summary[region] = {name: bootstrap(patient_means(rows)) for name, rows in values.items()}
    if len(task.outputs) == 1:  # one region is its own mean: the paper's number belongs to it
        summary = {"mean": next(iter(summary.values()))}
    return summary


def case_rows(scores: list[CaseScore]) -> list[dict[str, object]]:
    """Return one row per case and region, for a CSV, without metrics that were not asked for."""
    return [
        {
            "case": score.id,
            "patient": score.patient,
            "model": score.model,
            "region": region,
            **{name: value for name, value in metrics.items() if not np.isnan(value)},
            "seconds": score.seconds,
        }
        for score in scores
        for region, metrics in score.regions.items()
    ]


def by_patient(scores: list[CaseScore], region: str, metric: str) -> dict[str, list[float]]:
    """Return a metric of each patient's studies; `mean`: over the regions of a study."""
    values: dict[str, list[float]] = {}
    for score in scores:
        chosen = score.regions.values() if region == "mean" else [score.regions.get(region)]
        present = [metrics[metric] for metrics in chosen if metrics is not None]
        if present:
            values.setdefault(score.patient, []).append(float(np.mean(present)))
    return values


def mean_dice(task: Task, scores: list[CaseScore]) -> list[str]:
    """Return the mean Dice of each region, by patient, as the cells of a table."""
    by_region = [by_patient(scores, region, "dice") for region in task.outputs]
    return [f"{np.mean(patient_means(values)):.4f}" if values else "not offered" for values in by_region]


def page_rows(scores: list[CaseScore]) -> list[Row]:
    """Return the rows of the best, middle and worst cases, each once."""
    ranked = sorted(scores, key=lambda score: -score.dice)
    middle = max(len(ranked) // 2 - _PAGE_ROWS // 2, 0)
    places = [
        *range(_PAGE_ROWS),
        *range(middle, middle + _PAGE_ROWS),
        *range(len(ranked) - _PAGE_ROWS, len(ranked)),
    ]
    return [ranked[i].row for i in sorted({i for i in places if 0 <= i < len(ranked)})]


def compare(task: Task, first: list[CaseScore], second: list[CaseScore]) -> dict[str, Comparison]:
    """Return how the Dice of two models differs, by region, over the same studies and the same regions of each.

    What only one of them offered, as they need not have the same sequences, is not compared, nor part of a mean.
    """
    scored = _in_common(first, second), _in_common(second, first)
    result = {}
    for region in ("mean", *task.outputs) if len(task.outputs) > 1 else task.outputs:
        pair = [by_patient(scores, region, "dice") for scores in scored]
        if pair[0]:
            result[f"Dice, {region}"] = compare_means(*map(patient_means, pair))
    return result


def _in_common(scores: list[CaseScore], others: list[CaseScore]) -> list[CaseScore]:
    """Return scores with those regions only that the other model's scores of the same study have as well."""
    offered = {score.id: score.regions.keys() for score in others}
    return [
        replace(
            score, regions={name: score.regions[name] for name in score.regions if name in offered[score.id]}
        )
        for score in scores
    ]
