"""One call, one fine-tuning: what is asked for is checked and prepared, learned, and drawn up as a model."""

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from brainmvp.allocation import kept_memory
from brainmvp.case import Case, labels_digest
from brainmvp.errors import BrainMVPError
from brainmvp.finetune.card import make_card
from brainmvp.finetune.classification import ClassificationProblem
from brainmvp.finetune.curves import draw_curves, draw_examples
from brainmvp.finetune.folder import RunFolder
from brainmvp.finetune.machine import OneDevice
from brainmvp.finetune.prepared import Preparation, PreparedCase, read_templates, scaled_templates
from brainmvp.finetune.problem import Problem
from brainmvp.finetune.result import FineTuned, Progress
from brainmvp.finetune.run import Run
from brainmvp.finetune.segmentation import SegmentationProblem
from brainmvp.finetune.start import Start, begin, grid_of, network_of
from brainmvp.modelstore import Model
from brainmvp.stop import StoppedError
from brainmvp.tasks import Recipe, Task


def finetune(
    task: Task,
    train: list[Case],
    validation: list[Case],
    start: Model | None,
    recipe: Recipe,
    run_folder: str | os.PathLike[str],
    *,
    device: str = "auto",
    machine: OneDevice | None = None,
    cache: Path | None = None,
    workers: int = 2,
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
    opening: Callable[[Start], None] | None = None,
    preparing: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FineTuned:
    """Fine-tune, or go on from what `run_folder` holds, and return the best model by validation.

    The same arguments, labels and seed give the same numbers, stopped and resumed or not, on the same kind of CPU.

    Args:
        task: what to learn.
        train: the labelled studies that teach.
        validation: those that choose the best weights (`recipe.chooser`); no patient of them may be in `train`.
        start: a model of the store, whose card settles the network and, unless the recipe says otherwise, spacing and
            window; None: from scratch, with the recipe's network.
        recipe: the task's own, or one with changes.
        run_folder: keeps the state, the best weights, the history and pictures.
        device: cpu, cuda or auto; for several use `machine`.
        machine: `ManyDevices`, launched.
        cache: where prepared studies are kept, for several runs; None: in the run folder.
        workers: threads that prepare studies and make samples.
        fresh: take the start's network, spacing and window but none of its weights, to see what they are worth.
        progress: called after every step.
        opening: called once, before the work, with what the run begins with.
        preparing: called with (studies prepared, of how many); what it raises ends that, and what is prepared stays.
        should_stop: asked after every step; True keeps the state and returns what there is.

    Raises:
        StoppedError: `preparing` raised it; in all processes then.
        BrainMVPError: a study or label that cannot be used, a patient on both sides, a run folder of another run, or
            a loss that is not finite.

    """
    machine = machine or OneDevice(device)
    _check(task, train, validation, recipe)
    begun = begin(task, start, recipe, fresh)
    origin, start = start, None if fresh else start
    folder = RunFolder(run_folder)
    preparation = Preparation(
        task,
        begun.spacing,
        recipe.grid if task.kind == "classification" else None,
        _templates(task, start, recipe),
    )
    fault = None
    if machine.rank == 0:
        try:
            folder.open(facts(task, train, validation, origin, recipe, fresh) | {"processes": machine.world})
        except (BrainMVPError, OSError) as error:
            fault = error
    machine.agree(fault)
    if opening and machine.rank == 0:
        opening(begun)
    kept = cache or folder.path / "prepared"
    cases = [*train, *validation]
    if machine.world > 1:  # each process prepares its share, then all find everything
        fault = None
        try:
            preparation.all(cases[machine.rank :: machine.world], kept, preparing, workers)
        except (StoppedError, BrainMVPError, OSError) as error:
            fault = error
        machine.agree(fault)
        preparing = None
    prepared = preparation.all(cases, kept, preparing, workers)
    train_set, validation_set = prepared[: len(train)], prepared[len(train) :]
    run = Run(task, recipe, begun, _problem(task, recipe, begun, train_set), machine, folder, workers)
    with kept_memory() if machine.device.type == "cpu" else nullcontext():
        finished = run.go(train_set, validation_set, progress, should_stop)
    best = folder.load_best()
    weights = run.weights() if best is None else best
    problem = run.problem
    if machine.rank == 0:  # the others need no pictures, and what their card says is not used
        draw_curves(run.history, run.best["epoch"], recipe.chooser, folder.path / "curves.png")
        run.network.load_state_dict(weights)
        if finished:
            problem = problem.calibrated(run.network, validation_set)
        heading = f"{task.title}: {recipe.chooser} studies, best weights"
        draw_examples(task, run.network, problem, validation_set, folder.path / "examples.png", heading)
    card = make_card(task, begun, problem, start, recipe, train, validation, run.best, run.history)
    keys = frozenset(case.key for case in prepared)
    return FineTuned(weights, card, run.best["scores"], run.history, finished, keys)


def _problem(task: Task, recipe: Recipe, begun: Start, cases: list[PreparedCase]) -> Problem:
    stride = begun.config.stride
    largest = [max(case.images.shape[axis] for case in cases) for axis in (1, 2, 3)]
    # A window larger than every brain would only add zeros.
    window = tuple(
        min(edge, math.ceil(size / stride) * stride) for edge, size in zip(begun.window, largest, strict=True)
    )
    if task.kind == "classification":
        return ClassificationProblem(task, recipe, window)
    return SegmentationProblem(task, recipe, window, begun.overlap, begun.thresholds, begun.temperatures)


def _check(task: Task, train: list[Case], validation: list[Case], recipe: Recipe) -> None:
    if not train or not validation:
        side = "train on" if not train else "choose the best weights by"
        raise BrainMVPError(f"There is no labelled study to {side}; label more, or change the split.")
    both = {case.group for case in train} & {case.group for case in validation}
    if both:
        raise BrainMVPError(
            f"{min(both)} is in training and in {recipe.chooser}; keep all studies of a patient on one side."
        )
    if "regions" in recipe.published and [r.name for r in task.regions] != ["WT", "TC", "ET"]:
        raise BrainMVPError(f"The published regions are those of BraTS; the {task.name} task has others.")
    if task.kind == "classification" and recipe.grid is None:
        raise BrainMVPError(
            f"The recipe of {task.name} has no grid to resize the brain to; add one to its file."
        )


def _templates(task: Task, start: Model | None, recipe: Recipe) -> dict[Any, Any] | None:
    if start is None or task.kind == "classification" or recipe.mixed == 0:
        return None
    templates = read_templates(start.folder, task.sequences)
    return templates if templates is None or "templates" in recipe.published else scaled_templates(templates)


def facts(
    task: Task, train: list[Case], validation: list[Case], start: Model | None, recipe: Recipe, fresh: bool
) -> dict[str, Any]:
    """Return what makes a run the run that it is, JSON-ready; the arguments are those of `finetune`."""
    spacing, window, overlap = grid_of(task, start, recipe)
    settled = recipe.model_dump(mode="json")
    settled["published"] = sorted(settled["published"])
    return {
        "task": task.name,
        "meaning": task.meaning,
        "start": start.card.id if start and not fresh else None,
        "network": network_of(task, start, recipe).model_dump(mode="json"),
        "grid": {"spacing": spacing, "window": list(window), "overlap": overlap},
        "recipe": settled,
        "train": [case.id for case in train],
        "validation": [case.id for case in validation],
        "labels": labels_digest([*train, *validation]),
    }
