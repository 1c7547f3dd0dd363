"""The folder that an evaluation leaves: cases, summary, pages, calibration, and what missing sequences cost."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from brainmvp.calibration import draw_reliability
from brainmvp.case import Case
from brainmvp.classify import StudyClassifier
from brainmvp.cohort.cases import listed
from brainmvp.evaluation.classes import (
    METRICS,
    Answers,
    answer_cases,
    answer_rows,
    class_reliability,
    intervals,
)
from brainmvp.evaluation.classification import classification_metrics
from brainmvp.evaluation.masks import MISSED_MM
from brainmvp.evaluation.page import draw_page
from brainmvp.evaluation.regions import case_rows, compare, mean_dice, page_rows, summarise
from brainmvp.evaluation.segmentation import check_labels, reliability, score_case, score_cases, subsets
from brainmvp.evaluation.statistics import Comparison, compare_answers
from brainmvp.evaluation.tables import Summary, latex, markdown, summary_rows, write_csv
from brainmvp.evaluation.turns import Turn, check_fits, names
from brainmvp.files import write_text
from brainmvp.modelstore import Model
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task

Tell = Callable[[str, float], None]
Judge = TypeVar("Judge", Segmenter, StudyClassifier)
Pairs = list[tuple[Judge, Case]]
Table = list[list[str]]

_Judged = tuple[Summary, dict[str, Comparison], dict[str, Table]]


class _Order(NamedTuple):
    """What `evaluate` was asked for, as its arguments of the same names."""

    task: Task
    turns: list[Turn]
    out: Path
    tell: Tell
    device: str
    against: list[Turn] | None
    missing: bool


_COUNTING = "Every patient counts once: a patient's studies are averaged first. "
_RULES = {
    "segmentation": (
        f"{_COUNTING}Intervals: 2000 resamplings of the patients. Where a region is neither there nor found, Dice and "
        "the lesion scores are 1 and HD95 is 0; where it is only one of the two, they are 0 and HD95 is "
        f"{MISSED_MM:g} mm. Lesion-wise Dice is as in BraTS 2023: lesions too small to count cost nothing where "
        "they are missed (1 where there are no others). Lesion-wise F1 is that of ISLES 2022. A region that a "
        "study's sequences cannot show is not scored in it, and models are compared in those that both offered.\n"
    ),
    "classification": (
        f"{_COUNTING}One whose class changed counts once for each class; McNemar's test takes these for two patients, "
        "and so do the 2000 resamplings of its interval. Other intervals: 500 resamplings of the "
        "patients. F1 is the mean over the classes; AUC and F1 are left open "
        "where a class has no patient.\n"
    ),
}
_FOLDS = {
    "segmentation": "Cross-validation: each patient is scored by the model that did not see them.\n",
    "classification": "Cross-validation: each patient is classified by the model that did not see them; AUC is of the "
    "probabilities of all folds together.\n",
}
_NOTE = "\\* second-hand: from a summary of the paper; check it there before citing.\n"


def evaluate(
    task: Task,
    turns: list[Turn],
    out: Path,
    tell: Tell,
    *,
    device: str = "auto",
    against: list[Turn] | None = None,
    missing: bool = False,
) -> Summary:
    """Score a model, or those of a cross-validation, and write everything into `out`.

    Returns the summary over all patients by region (or `mean`) and metric.

    Args:
        task: what the models are for.
        turns: each model with the cases that it is tested on.
        out: the folder to write into.
        tell: called with (what is being done, share done).
        device: cpu, cuda or auto.
        against: other models for the same cases in the same order, to test whether they differ.
        missing: also score every set of sequences that reaches the task's minimum.

    Raises:
        BrainMVPError: a model is of another task, or a case cannot be used; where it is for its scans, `cases.csv` has
            the cases before it, while a label or class is told before any case is judged.

    """
    for turn in (*turns, *(against or ())):
        check_fits(turn.model, task)
    judge = _judge_classes if task.kind == "classification" else _judge_regions
    found, compared, tables = judge(_Order(task, turns, out, tell, device, against, missing))
    summary = {
        region: {name: value for name, value in metrics.items() if not task.metrics or name in task.metrics}
        for region, metrics in found.items()
    }
    _write(task, turns, out, summary, against, compared, tables)
    return summary


def _judge_regions(order: _Order) -> _Judged:
    task, turns, out, tell, device, against, _ = order
    check_labels(task, [case for turn in turns for case in turn.cases], tell)
    pairs = _ready(turns, Segmenter, device)
    scores = score_cases(task, pairs, tell, keep=lambda s: write_csv(out / "cases.csv", case_rows(s)))
    heading = f"{_short(turns)}: best, middle and worst of {len(scores)}"
    draw_page(task, page_rows(scores), out / "cases.png", heading)
    curves = reliability(scores)
    if curves:
        draw_reliability(curves, out / "calibration.png")
    compared = {}
    if against:
        others = score_cases(task, _ready(against, Segmenter, device), tell, pictures=False)
        write_csv(out / "cases-against.csv", case_rows(others))
        compared = compare(task, scores, others)

    def subset(chosen: Pairs[Segmenter], kept: tuple[Sequence, ...]) -> list[str]:
        return mean_dice(
            task, [score_case(task, segmenter, case, kept, pictures=False) for segmenter, case in chosen]
        )

    columns = [f"Dice {name}" for name in task.outputs]
    tables = _tables(order, columns, pairs, lambda start, end: mean_dice(task, scores[start:end]), subset)
    return summarise(task, scores), compared, tables


def _judge_classes(order: _Order) -> _Judged:
    task, turns, out, tell, device, against, _ = order
    pairs = _ready(turns, StudyClassifier, device)
    answers = answer_cases(pairs, tell, keep=lambda a: write_csv(out / "cases.csv", answer_rows(a, task)))
    what = ("of the class", "patients")
    draw_reliability(class_reliability(answers, task), out / "calibration.png", what)
    compared = {}
    if against:
        others = answer_cases(_ready(against, StudyClassifier, device), tell)
        write_csv(out / "cases-against.csv", answer_rows(others, task))
        compared = {"accuracy": compare_answers(answers.correct(), others.correct())}

    def subset(chosen: Pairs[StudyClassifier], kept: tuple[Sequence, ...]) -> list[str]:
        return _class_cells(answer_cases(chosen, lambda *_: None, kept))

    columns = list(METRICS)
    tables = _tables(order, columns, pairs, lambda start, end: _class_cells(answers.part(start, end)), subset)
    return {"mean": intervals(answers)}, compared, tables


def _tables(
    order: _Order,
    columns: list[str],
    pairs: Pairs[Judge],
    part: Callable[[int, int], list[str]],
    subset: Callable[[Pairs[Judge], tuple[Sequence, ...]], list[str]],
) -> dict[str, Table]:
    """Return the tables beside the summary; part: cells of the cases from one to another, subset: of some sequences."""
    tables = {"By fold": _fold_rows(order.turns, columns, part)}
    if order.missing:
        tables["With some sequences only"] = _missing_rows(order.task, columns, pairs, order.tell, subset)
    return tables


def _short(turns: list[Turn]) -> str:
    return listed([turn.model.card.id for turn in turns])


def _ready(turns: list[Turn], judge: Callable[[Model, str], Judge], device: str) -> Pairs[Judge]:
    """Return each case beside the model that answers it, every model loaded once."""
    loaded = [(judge(turn.model, device), turn.cases) for turn in turns]
    return [(one, case) for one, cases in loaded for case in cases]


def _class_cells(answers: Answers) -> list[str]:
    metrics = classification_metrics(answers.probabilities, answers.targets, answers.patients)
    return ["-" if np.isnan(metrics[name]) else f"{metrics[name]:.4f}" for name in METRICS]


def _fold_rows(turns: list[Turn], columns: list[str], cells: Callable[[int, int], list[str]]) -> Table:
    """Return heading and a row per fold, none without a cross-validation; cells: of the cases from one to another."""
    rows, start = [["fold", "model", *columns, "studies"]], 0
    for number, turn in enumerate(turns):
        end = start + len(turn.cases)
        rows.append([str(number), turn.model.card.id, *cells(start, end), str(end - start)])
        start = end
    return rows if len(turns) > 1 else []


def _missing_rows(
    task: Task,
    columns: list[str],
    pairs: Pairs[Judge],
    tell: Tell,
    cells: Callable[[Pairs[Judge], tuple[Sequence, ...]], list[str]],
) -> Table:
    """Return heading and rows: for every set of sequences that the task accepts, what `cells` says of the cases that
    have it; columns: its headings."""
    rows = [[*map(str, task.sequences), *columns, "studies"]]
    for kept in subsets(task):
        usable = [(judge, case) for judge, case in pairs if set(kept) <= set(case.study.images)]
        if usable:
            tell(f"with {', '.join(kept)} only", len(rows) / 2 ** len(task.sequences))
            marks = ["●" if sequence in kept else "" for sequence in task.sequences]
            rows.append([*marks, *cells(usable, kept), str(len(usable))])
    return rows


def _write(
    task: Task,
    turns: list[Turn],
    out: Path,
    summary: Summary,
    against: list[Turn] | None,
    compared: dict[str, Comparison],
    tables: dict[str, Table],
) -> None:
    rows = summary_rows(summary, task)
    count = sum(len(turn.cases) for turn in turns)
    text = f"# {task.title}: {names(turns)}\n\n{count} studies.\n\n{markdown(rows)}\n"
    if any("*" in row[-1] for row in rows):
        text += _NOTE + "\n"
    if compared:
        difference = f"{_short(against)} minus {_short(turns)} (95 % interval)"
        lines = [["", difference, "p", "test", "patients"]]
        lines += [
            [name, str(c.difference), f"{c.p_value:.3g}", c.test, str(c.patients)]
            for name, c in compared.items()
        ]
        text += f"## Compared with {names(against)}\n\n{markdown(lines)}\n"
    for heading, table in tables.items():
        text += f"## {heading}\n\n{markdown(table)}\n" if table else ""
    text += _RULES[task.kind] + (_FOLDS[task.kind] if len(turns) > 1 else "")
    write_text(out / "summary.md", text)
    write_text(out / "summary.tex", latex(rows, f"{task.title}: {names(turns)}, {count} studies."))
