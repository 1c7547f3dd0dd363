"""Model versions as an annotator sees them: with their Dice on the held-out studies of the folder."""

from pathlib import Path
from typing import Any

import numpy as np

from brainmvp.annotation.database import HIDDEN
from brainmvp.annotation.gate import Labelled
from brainmvp.annotation.held_out import read_held_out
from brainmvp.annotation.state import AnnotationState
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.sequences import IMAGE_SUFFIXES
from brainmvp.study import find_studies


def open_annotation(studies: Path) -> AnnotationState:
    """Return the state of a folder that was served; raises `BrainMVPError` if it was not."""
    if not (studies / HIDDEN).is_dir():
        raise BrainMVPError(f"{studies} was never served; run `brainmvp serve --studies {studies}` first.")
    return AnnotationState(studies.resolve())


def labelled_studies(root: Path) -> list[Labelled]:
    """Return the studies below a folder that have a final label in `labels/final`; other folders are passed over."""
    found = []
    for study in find_studies(root, on_error=lambda folder, error: None):
        files = [
            root / "labels" / "final" / f"{study.id}{suffix}" for suffix in (".seg.nrrd", *IMAGE_SUFFIXES)
        ]
        found += [Labelled(study, path) for path in files if path.is_file()][:1]
    return found


def held_out_cases(state: AnnotationState, task: str | None) -> list[Labelled]:
    """Return the labelled studies of the held-out patients of a task; none before the set was chosen."""
    held_out = read_held_out(state.studies, task) if task else None
    if held_out is None:
        return []
    return [case for case in labelled_studies(state.studies) if held_out.holds(case.study.id)]


def describe(model: Model, served: int, state: AnnotationState | None) -> dict[str, Any]:
    """Return what a client shows of a version; `held_out` is None where it was not measured."""
    card = model.card
    cases = held_out_cases(state, card.task) if state else []
    dice = state.held_out_scores.of(card.id, cases) if state else {}
    mean = {"dice": round(float(np.mean(list(dice.values()))), 4), "cases": len(dice)} if dice else None
    return {
        "name": card.name, "version": card.version, "kind": card.kind, "task": card.task,
        "served": card.version == served, "built_in": model.built_in, "created": card.created.isoformat(),
        "parent": card.parent, "title": card.title, "metrics": card.metrics, "held_out": mean,
    }  # fmt: skip


def describe_all(store: ModelStore, state: AnnotationState | None) -> list[dict[str, Any]]:
    """Return every readable version."""
    return [describe(model, store.served(model.card.name), state) for model in store.models()]


def compare_versions(one: Model, other: Model, state: AnnotationState | None) -> dict[str, Any]:
    """Return two versions and, of the held-out studies both were measured on, the paired comparison."""
    store = ModelStore()
    cases = held_out_cases(state, one.card.task) if state else []
    comparison = state.held_out_scores.compare(one.card.id, other.card.id, cases) if state else None
    return {
        "a": describe(one, store.served(one.card.name), state),
        "b": describe(other, store.served(other.card.name), state),
        "held_out": comparison.as_json() if comparison else None,
    }
