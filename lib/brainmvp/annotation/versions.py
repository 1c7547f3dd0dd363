"""Model versions as an annotator sees them: with their Dice on the held-out studies of the folder."""

from pathlib import Path
from typing import Any

import numpy as np

from brainmvp.annotation.gate import comparable
from brainmvp.annotation.held_out import read_held_out
from brainmvp.annotation.state import AnnotationState
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN
from brainmvp.modelstore import Model, ModelStore
from brainmvp.tasks import get_task


def open_annotation(studies: Path) -> AnnotationState:
    """Return the state of a folder that was served; raises `BrainMVPError` if it was not."""
    if not (studies / HIDDEN).is_dir():
        raise BrainMVPError(f"{studies} was never served; run `brainmvp serve --studies {studies}` first.")
    return AnnotationState(studies.resolve())


def held_out_cases(state: AnnotationState, task: str | None) -> list[Case]:
    """Return the labelled studies of the held-out patients of a task; none before the set was chosen."""
    held_out = read_held_out(state.studies, task) if task else None
    if held_out is None:
        return []
    found = get_task(held_out.task)
    # Whose label an unsubmitted file is, only its own task can tell here: held-out patients are of one task.
    return [case for case in state.cases(found, (found,)) if held_out.holds(case.id)]


def describe(model: Model, served: int, dice: dict[str, float]) -> dict[str, Any]:
    """Return what a client shows of a version; dice: by held-out study, empty if it cannot be compared with others."""
    card = model.card
    mean = {"dice": round(float(np.mean(list(dice.values()))), 4), "cases": len(dice)} if dice else None
    return {
        "name": card.name, "version": card.version, "kind": card.kind, "task": card.task,
        "served": card.version == served, "built_in": model.built_in, "created": card.created.isoformat(),
        "parent": card.parent, "title": card.title, "metrics": card.metrics, "held_out": mean,
    }  # fmt: skip


def describe_one(model: Model, state: AnnotationState | None) -> dict[str, Any]:
    """Return one version."""
    store = ModelStore()
    own = [each for each in store.models() if each.card.name == model.card.name]
    return describe(model, store.served(model.card.name), _held_out(own, state)[model.card.id])


def describe_all(store: ModelStore, state: AnnotationState | None) -> list[dict[str, Any]]:
    """Return every readable version."""
    models = store.models()
    dice = _held_out(models, state)
    return [describe(model, store.served(model.card.name), dice[model.card.id]) for model in models]


def compare_versions(one: Model, other: Model, state: AnnotationState | None) -> dict[str, Any]:
    """Return two versions and, of the held-out studies both were measured on, the paired comparison."""
    store, cases = ModelStore(), held_out_cases(state, one.card.task) if state else []
    comparison = state.held_out_scores.compare(one.card, other.card, cases) if state else None
    dice = {model.card.id: {} for model in (one, other)}
    for study, before, after in comparison.cases if comparison else ():
        dice[one.card.id][study], dice[other.card.id][study] = before, after
    return {
        "a": describe(one, store.served(one.card.name), dice[one.card.id]),
        "b": describe(other, store.served(other.card.name), dice[other.card.id]),
        "held_out": comparison.as_json() if comparison else None,
    }


def _held_out(models: list[Model], state: AnnotationState | None) -> dict[str, dict[str, float]]:
    """Return by version and study the held-out Dice, of the versions of one name on the same studies."""
    tasks = {model.card.task for model in models}
    cases = {task: held_out_cases(state, task) if state else [] for task in tasks}
    found: dict[str, dict[str, float]] = {model.card.id: {} for model in models}
    for name, task in {(model.card.name, model.card.task): None for model in models}:
        own = [model.card for model in models if (model.card.name, model.card.task) == (name, task)]
        if state and cases[task]:
            found |= comparable(state.held_out_scores.of(own, cases[task]))
    return found
