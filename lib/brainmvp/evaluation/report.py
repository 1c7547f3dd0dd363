"""The folder that an evaluation leaves: cases, summary, pages, calibration, and what missing sequences cost."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from brainmvp.calibration import draw_reliability
from brainmvp.case import Case
from brainmvp.classify import StudyClassifier
from brainmvp.evaluation.classes import METRICS as METRICS_OF_CLASSES
from brainmvp.evaluation.classes import answer_cases, class_reliability, intervals
from brainmvp.evaluation.classification import classification_metrics
from brainmvp.evaluation.masks import MISSED_MM
from brainmvp.evaluation.page import Row, draw_page
from brainmvp.evaluation.segmentation import (
    METRICS,
    CaseScore,
    reliability,
    score_case,
    score_cases,
    subsets,
)
from brainmvp.evaluation.statistics import (
    Comparison,
    bootstrap,
    compare_answers,
    compare_means,
    patient_means,
)
from brainmvp.evaluation.tables import Summary, latex, markdown, summary_rows, write_csv
from brainmvp.files import write_text
from brainmvp.modelstore import Model
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task

Tell = Callable[[str, float], None]
_PAGE_ROWS = 3  # of each of the best, middle and worst cases

_RULES = {
    "segmentation": (
        "Every patient counts once: a patient's studies are averaged first. Intervals: 2000 resamplings of the "
        "patients. Where a region is neither there nor found, Dice and the lesion scores are 1 and HD95 is 0; where it "
        f"is only one of the two, they are 0 and HD95 is {MISSED_MM:g} mm. Lesion-wise Dice is as in BraTS 2023, "
        "lesion-wise F1 that of ISLES 2022. A region that a study's sequences cannot show is not scored in it.\n"
    ),
    "classification": (
        "Every patient counts once: a patient's studies are averaged first. Intervals: 500 resamplings of the "
        "patients. F1 is the mean over the classes.\n"
    ),
}
_NOTE = "\\* second-hand: from a summary of the paper; check it there before citing.\n"


def evaluate(
    task: Task,
    model: Model,
    cases: list[Case],
    out: Path,
    tell: Tell,
    *,
    device: str = "auto",
    against: Model | None = None,
    missing: bool = False,
) -> Summary:
    """Score a model on cases and write everything into `out`; return the summary by region (or `mean`) and metric.

    against: a second model for the same cases, to test whether they differ; missing: also score every set of
    sequences that reaches the task's minimum. Raises `BrainMVPError` if a model is of another task, or a case cannot
    be used.
    """
    for judged in (model, *([against] if against else [])):
        judged.check_task(task.name)
    if task.kind == "classification":
        return _evaluate_classes(task, model, cases, out, tell, device, against, missing)
    segmenter = Segmenter(model, device)
    scores = score_cases(segmenter, cases, tell)
    summary = summarise(task, scores)
    write_csv(out / "cases.csv", case_rows(scores))
    draw_page(
        task, _chosen(scores), out / "cases.png", f"{model.card.id}: best, middle and worst of {len(scores)}"
    )
    curves = reliability(scores)
    if curves:
        draw_reliability(curves, out / "calibration.png")
    compared: dict[str, Comparison] = {}
    if against is not None:
        others = score_cases(Segmenter(against, device), cases, tell, pictures=False)
        write_csv(out / f"cases-{against.card.name}-{against.card.version}.csv", case_rows(others))
        compared = _compare(task, scores, others)
    columns = [f"Dice {name}" for name in task.outputs]
    parts = missing_rows(task, columns, cases, tell, partial(_dice_cells, segmenter)) if missing else []
    _write(task, model, out, summary, len(cases), against, compared, parts)
    return summary


def summarise(task: Task, scores: list[CaseScore]) -> Summary:
    """Return mean and interval by region and metric; `mean` is the mean over a patient's regions."""
    summary: Summary = {}
    for region in ("mean", *task.outputs):
        if region == "mean" and len(task.outputs) == 1:
            continue
        values = {name: _by_patient(scores, region, name) for name in METRICS}
        if values["dice"]:
            summary[region] = {name: bootstrap(patient_means(rows)) for name, rows in values.items()}
    if len(task.outputs) == 1:  # one region is its own mean: the paper's number belongs to it
        summary = {"mean": next(iter(summary.values()))}
    return summary


def case_rows(scores: list[CaseScore]) -> list[dict[str, object]]:
    """Return one row per case and region, for a CSV."""
    return [
        {"case": s.id, "patient": s.patient, "region": region, **metrics, "seconds": s.seconds}
        for s in scores
        for region, metrics in s.regions.items()
    ]


def missing_rows(
    task: Task,
    columns: list[str],
    cases: list[Case],
    tell: Tell,
    cells: Callable[[list[Case], tuple[Sequence, ...]], list[str]],
) -> list[list[str]]:
    """Return heading and rows: for every set of sequences that the task accepts, what `cells` says of the cases that
    have it; columns: its headings."""
    rows = [[*map(str, task.sequences), *columns, "studies"]]
    for kept in subsets(task):
        usable = [case for case in cases if set(kept) <= set(case.study.images)]
        if usable:
            tell(f"with {', '.join(kept)} only", len(rows) / 2 ** len(task.sequences))
            marks = ["●" if sequence in kept else "" for sequence in task.sequences]
            rows.append([*marks, *cells(usable, kept), str(len(usable))])
    return rows


def _dice_cells(segmenter: Segmenter, cases: list[Case], kept: tuple[Sequence, ...]) -> list[str]:
    scores = [score_case(segmenter, case, kept, pictures=False) for case in cases]
    by_region = [_by_patient(scores, region, "dice") for region in segmenter.task.outputs]
    return [f"{np.mean(patient_means(values)):.4f}" if values else "not offered" for values in by_region]


def _class_cells(classifier: StudyClassifier, cases: list[Case], kept: tuple[Sequence, ...]) -> list[str]:
    answers = answer_cases(classifier, cases, lambda *_: None, kept)
    metrics = classification_metrics(answers.probabilities, answers.targets, answers.patients)
    return [f"{metrics[name]:.4f}" for name in METRICS_OF_CLASSES]


def _by_patient(scores: list[CaseScore], region: str, metric: str) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for score in scores:
        chosen = score.regions.values() if region == "mean" else [score.regions.get(region)]
        present = [metrics[metric] for metrics in chosen if metrics is not None]
        if present:
            values.setdefault(score.patient, []).append(float(np.mean(present)))
    return values


def _chosen(scores: list[CaseScore]) -> list[Row]:
    """Return the rows of the best, middle and worst cases, each once."""
    ranked = sorted(scores, key=lambda score: -score.dice)
    middle = max(len(ranked) // 2 - _PAGE_ROWS // 2, 0)
    places = [
        *range(_PAGE_ROWS),
        *range(middle, middle + _PAGE_ROWS),
        *range(len(ranked) - _PAGE_ROWS, len(ranked)),
    ]
    return [ranked[i].row for i in sorted({i for i in places if 0 <= i < len(ranked)})]


def _compare(task: Task, first: list[CaseScore], second: list[CaseScore]) -> dict[str, Comparison]:
    result = {}
    for region in ("mean", *task.outputs) if len(task.outputs) > 1 else task.outputs:
        pair = [_by_patient(scores, region, "dice") for scores in (first, second)]
        both = sorted(pair[0].keys() & pair[1].keys())
        if both:
            means = [patient_means({p: values[p] for p in both}) for values in pair]
            result[f"Dice, {region}"] = compare_means(*means)
    return result


def _evaluate_classes(
    task: Task, model: Model, cases: list[Case], out: Path, tell: Tell, device: str, against: Model | None,
    missing: bool,
) -> Summary:  # fmt: skip
    classifier = StudyClassifier(model, device)
    answers = answer_cases(classifier, cases, tell)
    keys = [c.key for c in task.classes]
    rows = [
        {
            "case": answers.ids[i],
            "patient": answers.patients[i],
            "class": keys[answers.targets[i]],
            "answer": keys[int(row.argmax())],
            **{f"p({key})": float(p) for key, p in zip(keys, row, strict=True)},
        }
        for i, row in enumerate(answers.probabilities)
    ]
    write_csv(out / "cases.csv", rows)
    what = ("of the class", "patients")
    draw_reliability(class_reliability(answers, task), out / "calibration.png", what)
    compared = {}
    if against is not None:
        others = answer_cases(StudyClassifier(against, device), cases, tell)
        compared = {"accuracy": compare_answers(answers.correct(), others.correct())}
    summary = {"mean": intervals(answers)}
    parts = (
        missing_rows(task, list(METRICS_OF_CLASSES), cases, tell, partial(_class_cells, classifier))
        if missing
        else []
    )
    _write(task, model, out, summary, len(cases), against, compared, parts)
    return summary


def _write(
    task: Task,
    model: Model,
    out: Path,
    summary: Summary,
    count: int,
    against: Model | None,
    compared: dict[str, Comparison],
    missing: list[list[str]],
) -> None:
    rows = summary_rows(summary, task)
    text = f"# {task.title}: {model.card.id}\n\n{count} studies.\n\n{markdown(rows)}\n"
    if any("*" in row[-1] for row in rows):
        text += _NOTE + "\n"
    if compared:
        lines = [["", f"{against.card.id} minus {model.card.id} (95 % interval)", "p", "test", "patients"]]
        lines += [
            [name, str(c.difference), f"{c.p_value:.3g}", c.test, str(c.patients)]
            for name, c in compared.items()
        ]
        text += f"## Compared with {against.card.id}\n\n{markdown(lines)}\n"
    if missing:
        text += f"## With some sequences only\n\n{markdown(missing)}\n"
    write_text(out / "summary.md", text + _RULES[task.kind])
    write_text(out / "summary.tex", latex(rows, f"{task.title}: {model.card.id}, {count} studies."))
