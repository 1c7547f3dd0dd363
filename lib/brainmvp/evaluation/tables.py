"""Tables: one row per case as CSV; a summary beside the paper's row, as Markdown and LaTeX."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from brainmvp.evaluation.statistics import Interval
from brainmvp.files import write_text
from brainmvp.tasks import Task

_TITLES = {
    "dice": "Dice", "hd95": "HD95, mm", "lesion_dice": "lesion-wise Dice", "lesion_f1": "lesion-wise F1",
    "volume_error": "volume error, mL", "accuracy": "accuracy", "auc": "AUC", "f1": "F1",
}  # fmt: skip
_DIGITS = {"hd95": 2, "volume_error": 2}

Summary = dict[str, dict[str, Interval]]


def write_csv(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write rows of the same keys; numbers with six significant digits."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_text(path, text.getvalue())


def summary_rows(summary: Summary, task: Task) -> list[list[str]]:
    """Return heading and rows: region, metric, value with its interval, and the paper's, where it has any.

    A published number that is only known from a summary of the paper is marked with an asterisk.
    """
    rows = [["", "metric", "ours (95 % interval)", *(["BrainMVP, as published"] if task.published else [])]]
    for region, metrics in summary.items():
        for name, value in metrics.items():
            digits = _DIGITS.get(name, 4)
            own = "-" if np.isnan(value.value) else f"{value.value:.{digits}f}"
            if not np.isnan(value.low):
                own += f" ({value.low:.{digits}f} to {value.high:.{digits}f})"
            paper = [published(task, region, name)] if task.published else []
            rows.append([region, _TITLES[name], own, *paper])
    return rows


def published(task: Task, region: str, metric: str) -> str:
    """Return the paper's number for a table, or a dash."""
    for result in task.published:
        if (result.region, result.metric) == (region, metric):
            return f"{result.value:.{_DIGITS.get(metric, 4)}f}" + ("*" if result.second_hand else "")
    return "-"


def markdown(rows: list[list[str]]) -> str:
    """Return a table as Markdown; the first row is the heading."""
    heading, *body = rows
    lines = [heading, ["---"] * len(heading), *body]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def latex(rows: list[list[str]], caption: str) -> str:
    """Return a table as LaTeX (package booktabs)."""
    heading, *body = ([_escaped(cell) for cell in row] for row in rows)
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{_escaped(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(heading)}}}", r"\toprule", " & ".join(heading) + r" \\", r"\midrule",
        *(" & ".join(row) + r" \\" for row in body), r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _escaped(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, "\\" + character)
    return text
