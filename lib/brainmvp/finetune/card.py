"""The card of a fine-tuned model."""

from datetime import date
from typing import Any

from brainmvp.card import Card, mark_of
from brainmvp.case import Case
from brainmvp.finetune.problem import Problem
from brainmvp.finetune.start import Start
from brainmvp.modelstore import Model
from brainmvp.tasks import Recipe, Task


def make_card(
    task: Task,
    begun: Start,
    problem: Problem,
    start: Model | None,
    recipe: Recipe,
    train: list[Case],
    validation: list[Case],
    best: dict[str, Any],
    history: list[dict[str, Any]],
) -> Card:
    """Return the card of a run's best weights; its version is 1 until the model is put into a store.

    What the start said of small lesions and failures stays true of a model of the same task.
    """
    parent = start.card if start else None
    same = parent is not None and parent.task == task.name
    settled = recipe.model_dump(mode="json", exclude_defaults=True)
    return Card(
        name=task.name,
        version=1,
        kind=task.kind,
        task=task.name,
        title=f"{task.title}, fine-tuned" + (f" from {parent.id}" if parent else " from scratch"),
        sequences=task.sequences,
        regions=task.outputs,
        network=begun.config,
        spacing=begun.spacing,
        # Whole brains go through a classifier: as it learned them, or what fills the rest would count.
        window=problem.window if task.kind == "classification" else begun.window,
        overlap=begun.overlap,
        grid=recipe.grid if task.kind == "classification" else None,
        temperatures=problem.temperatures,
        thresholds=problem.thresholds,
        minimum_lesion_ml=parent.minimum_lesion_ml if same else 0.0,
        parent=parent.id if parent else None,
        created=date.today(),
        training={
            "recipe": settled | ({"published": sorted(recipe.published)} if recipe.published else {}),
            "start": str(begun),
            "studies": len(train),
            "train": [mark_of(case.id) for case in train],
            "validation": [mark_of(case.id) for case in validation],
            "epochs": len(history),
            "best_epoch": best["epoch"],
            "seconds": history[-1]["seconds"] if history else 0.0,
        },
        data=(f"{len(train)} labelled studies of {len({case.group for case in train})} patients",),
        metrics={f"{recipe.chooser}, {len(validation)} studies": best["scores"]},
        known_failures=parent.known_failures if same else (),
        weak_with=parent.weak_with if same else {},
        licence=parent.licence if parent else "that of the studies it learned from",
    )
