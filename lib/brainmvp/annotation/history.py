"""The history of an annotation, from the journal and the labels on disk."""

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from brainmvp.annotation.held_out import held_out_tasks, read_held_out
from brainmvp.annotation.journal import Event, iso
from brainmvp.annotation.versions import open_annotation
from brainmvp.sequences import strip_suffix
from brainmvp.tasks import task_names

_LABELS = ("final", "draft")


def history(studies: Path) -> dict[str, Any]:
    """Return labels over time, versions with their Dice, skips, and sums by annotator, as JSON-ready values.

    `scored` counts, by task, the studies that the strategies know something about. `stored` tells whether the study
    of a label still has one under its tag: a draft goes with the final label, and a label can be removed. A final
    label that lies on disk but that nobody submitted has no annotator, and the time of its file. Raises
    `BrainMVPError` if the folder was never annotated.
    """
    state = open_annotation(studies)
    journal = state.journal
    files = {tag: _label_files(studies / "labels" / tag) for tag in _LABELS}
    labels = [_label(event, event.study in files[event.kind]) for event in journal.events(*_LABELS)]
    recorded = {label["study"] for label in labels if label["tag"] == "final"}
    labels += [_unrecorded(study, file) for study, file in files["final"].items() if study not in recorded]
    labels.sort(key=lambda label: label["time"])
    versions = [{"time": e.when, "task": e.task, **e.detail} for e in journal.events("version", "served")]
    skips = journal.events("skipped")
    sets = [held_out for name in held_out_tasks(studies) if (held_out := read_held_out(studies, name))]
    return {
        "labels": labels,
        "annotators": _by_annotator(labels, skips),
        "versions": versions,
        "skipped": [{"time": e.when, "study": e.study, "annotator": e.annotator, **e.detail} for e in skips],
        "scored": {
            name: sum(not facts.failed for facts in state.scores.facts(name).values())
            for name in sorted({*task_names(), *state.scores.tasks()})
        },
        "held_out": {s.task: {"patients": list(s.patients), "of": s.of, "chosen": s.chosen} for s in sets},
    }


def _label_files(folder: Path) -> dict[str, Path]:
    """Return the labels of a folder by study."""
    files = [path for path in folder.glob("*") if not path.name.startswith(".")]
    return {strip_suffix(path.name).removesuffix(".seg"): path for path in files}


def _label(event: Event, stored: bool) -> dict[str, Any]:
    return {
        "time": event.when, "study": event.study, "tag": event.kind, "annotator": event.annotator,
        "seconds": event.seconds, "model": event.detail.get("model"), "stored": stored,
    }  # fmt: skip


def _unrecorded(study: str, file: Path) -> dict[str, Any]:
    return {
        "time": iso(file.stat().st_mtime), "study": study, "tag": "final", "annotator": None, "seconds": None,
        "model": None, "stored": True,
    }  # fmt: skip


def _by_annotator(labels: list[dict[str, Any]], skips: list[Event]) -> dict[str, dict[str, Any]]:
    """Return how many studies each has labelled, drafted and skipped, and the median seconds of a final label."""
    seconds: dict[str, list[float]] = defaultdict(list)
    studies: dict[str, dict[str, set[str]]] = defaultdict(
        lambda: {"final": set(), "draft": set(), "skipped": set()}
    )
    for label in labels:
        name = label["annotator"] or ""
        done = studies[name]
        if label["stored"]:
            done[label["tag"]].add(label["study"])
        if label["tag"] == "final" and label["seconds"] is not None:
            seconds[name].append(label["seconds"])
    for event in skips:
        studies[event.annotator or ""]["skipped"].add(event.study)
    return {
        name: {kind: len(some) for kind, some in done.items()}
        | {"median_seconds": median(seconds[name]) if seconds[name] else None}
        for name, done in sorted(studies.items())
    }
