"""The history of an annotation, from the journal and the labels on disk."""

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from brainmvp.annotation.held_out import read_held_out
from brainmvp.annotation.journal import Event, iso
from brainmvp.annotation.versions import open_annotation
from brainmvp.sequences import strip_suffix
from brainmvp.tasks import task_names

_LABELS = ("final", "draft")


def history(studies: Path) -> dict[str, Any]:
    """Return labels over time, versions with their Dice, skips, and sums by annotator, as JSON-ready values.

    `scored` counts, by task, the studies that the strategies know something about. A final label that lies on disk
    but that nobody submitted has no annotator, and the time of its file. Raises `BrainMVPError` if the folder was
    never annotated.
    """
    state = open_annotation(studies)
    journal = state.journal
    labels = [_label(event) for event in journal.events(*_LABELS)]
    labels += _unrecorded(studies, {label["study"] for label in labels if label["tag"] == "final"})
    labels.sort(key=lambda label: label["time"])
    versions = [{"time": e.when, "task": e.task, **e.detail} for e in journal.events("version", "served")]
    skips = journal.events("skipped")
    sets = [held_out for name in task_names() if (held_out := read_held_out(studies, name))]
    return {
        "labels": labels,
        "annotators": _by_annotator(labels, skips),
        "versions": versions,
        "skipped": [{"time": e.when, "study": e.study, "annotator": e.annotator, **e.detail} for e in skips],
        "scored": {name: len(state.scores.bases(name)) for name in task_names()},
        "held_out": {s.task: {"patients": list(s.patients), "of": s.of, "chosen": s.chosen} for s in sets},
    }


def _label(event: Event) -> dict[str, Any]:
    return {
        "time": event.when, "study": event.study, "tag": event.kind, "annotator": event.annotator,
        "seconds": event.seconds, "model": event.detail.get("model"),
    }  # fmt: skip


def _unrecorded(studies: Path, recorded: set[str]) -> list[dict[str, Any]]:
    files = [path for path in (studies / "labels" / "final").glob("*") if not path.name.startswith(".")]
    return [
        {"time": iso(path.stat().st_mtime), "study": name, "tag": "final", "annotator": None, "seconds": None,
         "model": None}
        for path in files
        if (name := strip_suffix(path.name).removesuffix(".seg")) not in recorded
    ]  # fmt: skip


def _by_annotator(labels: list[dict[str, Any]], skips: list[Event]) -> dict[str, dict[str, Any]]:
    seconds: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, dict[str, Any]] = defaultdict(lambda: {"final": 0, "draft": 0, "skipped": 0})
    for label in labels:
        name = label["annotator"] or ""
        counts[name][label["tag"]] += 1
        if label["seconds"] is not None:
            seconds[name].append(label["seconds"])
    for event in skips:
        counts[event.annotator or ""]["skipped"] += 1
    return {
        name: count | {"median_seconds": median(seconds[name]) if seconds[name] else None}
        for name, count in sorted(counts.items())
    }
