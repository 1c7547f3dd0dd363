"""The history as one picture and one table."""

import csv
import io
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from brainmvp.files import atomically, write_text

_COLUMNS = ("time", "study", "tag", "annotator", "seconds", "model")


def write_table(history: dict[str, Any], path: Path) -> Path:
    """Write a row for each label, final or draft, in order of time; return the path."""
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history["labels"])
    write_text(path, table.getvalue())
    return path


def draw_history(history: dict[str, Any], path: Path) -> Path:
    """Draw labels over time, held-out Dice of new versions, seconds by label, labels by annotator; return the path."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    (labels, versions), (seconds, people) = figure.subplots(2, 2)
    finals = [label for label in history["labels"] if label["tag"] == "final"]
    _labels_over_time(labels, finals)
    _dice_by_version(versions, history["versions"])
    _seconds_by_label(seconds, finals)
    _labels_by_annotator(people, history["annotators"])
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))
    return path


def _labels_over_time(axes: Axes, finals: list[dict[str, Any]]) -> None:
    axes.set(title="Labelled studies", ylabel="studies with a final label")
    seen: set[str] = set()
    times, counts = [], []
    for label in finals:
        if label["stored"] and label["study"] not in seen:  # one that is sent again is no further study
            seen.add(label["study"])
            times.append(datetime.fromisoformat(label["time"]))
            counts.append(len(seen))
    if not times:
        _nothing(axes, "no final label yet")
        return
    axes.step(times, counts, where="post", color="C0")
    axes.plot(times, counts, "o", color="C0", markersize=3)
    axes.set_ylim(0, counts[-1] * 1.1)
    if times[-1] - times[0] < timedelta(minutes=1):
        axes.set_xlim(times[0] - timedelta(minutes=5), times[-1] + timedelta(minutes=5))
    locator = AutoDateLocator(maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _dice_by_version(axes: Axes, events: list[dict[str, Any]]) -> None:
    """Draw each new version beside the one before, on the same studies: those of two trainings may differ."""
    axes.set(title="New model versions on the held-out studies", ylabel="Dice")
    trained = [event for event in events if event.get("held_out", {}).get("cases")]
    if not trained:
        _nothing(axes, "no training yet")
        return
    names = [f"{event['model']}\n{event['held_out']['cases']} studies" for event in trained]
    before = [event["before"]["dice"] for event in trained]
    dice = [event["held_out"]["dice"] for event in trained]
    axes.vlines(names, before, dice, color="0.8", zorder=1)
    axes.scatter(names, before, marker="_", color="0.5", label="served before it")
    for mark, wanted, color, label in (("o", True, "C2", "served"), ("x", False, "C3", "kept, not served")):
        points = [
            (n, d) for n, d, event in zip(names, dice, trained, strict=True) if event["served"] is wanted
        ]
        axes.scatter(
            *(zip(*points, strict=True) if points else ([], [])), marker=mark, color=color, label=label
        )
    axes.legend(frameon=False)


def _seconds_by_label(axes: Axes, finals: list[dict[str, Any]]) -> None:
    axes.set(title="Time for each label", xlabel="label", ylabel="minutes")
    timed = [label for label in finals if label["seconds"] is not None]
    if not timed:
        _nothing(axes, "no client told its time")
        return
    for name in dict.fromkeys(label["annotator"] for label in timed):
        own = [(n, label["seconds"] / 60) for n, label in enumerate(timed, 1) if label["annotator"] == name]
        axes.plot(*zip(*own, strict=True), "o", markersize=4, label=_shown(name))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def _labels_by_annotator(axes: Axes, annotators: dict[str, dict[str, Any]]) -> None:
    axes.set(title="Who did what", xlabel="studies")
    names = [_shown(name) for name in annotators]
    if not names:
        _nothing(axes, "nobody has labelled yet")
        return
    left: Counter[str] = Counter()
    for kind, color in (("final", "C0"), ("draft", "C1"), ("skipped", "0.7")):
        counts = [person[kind] for person in annotators.values()]
        axes.barh(names, counts, left=[left[name] for name in names], color=color, label=kind)
        left.update(dict(zip(names, counts, strict=True)))
    axes.set_xlim(0, 1.35 * max(left.values()) or 1)  # room for the legend
    axes.legend(frameon=False, fontsize=8)


def _shown(annotator: str | None) -> str:
    """Return an annotator's name as Matplotlib draws it: any text, and not a formula between dollars."""
    return (annotator or "(unknown)").replace("$", r"\$")


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="0.5")
    axes.set(xticks=[], yticks=[])
