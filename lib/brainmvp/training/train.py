"""The training loop: a stream of phantoms, and a network that learns from it."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.finetune.start import begin
from brainmvp.modelstore import ModelStore
from brainmvp.networks.config import PRESETS
from brainmvp.phantom.anatomy import Anatomy
from brainmvp.steps import rate
from brainmvp.tasks import Task, get_task
from brainmvp.training.augment import leave_out, vary
from brainmvp.training.checkpoints import load_run, save_run
from brainmvp.training.learner import Learner, config_of
from brainmvp.training.loss import region_targets
from brainmvp.training.samples import TRAINING_SEEDS, PhantomStream, SampleBatches
from brainmvp.training.validation import ValidationSet

Report = Callable[[dict[str, Any]], None]

_SAVE_SECONDS = 60.0  # between checkpoints
_SCORE_SECONDS = 900.0  # between lines of the log
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Recipe:
    """What a run is made of; it goes into the card.

    network: a preset; steps: its length over all restarts; batch: whole brains per step; flat: share of the run at the
    full learning rate, before it falls to zero; easy: share with clear pictures only, after which the greatest
    difficulty rises to 1 at twice that; complete: share of samples with all sequences, at the start and at the end;
    start: the stored model (`NAME@VERSION`) whose weights the network starts from; anatomies: the names of the brains
    that the phantoms are made of.
    """

    task: str
    network: str
    steps: int
    batch: int = 4
    lr: float = 1.5e-3
    flat: float = 0.2
    easy: float = 0.08
    complete: tuple[float, float] = (0.7, 0.35)
    seed: int = 0
    validation: int = 24
    start: str | None = None
    anatomies: tuple[str, ...] = ()

    def progress(self, steps: int) -> float:
        """Return the share of the run that is done after so many steps, 0…1."""
        return min(steps / self.steps, 1.0)

    def difficulty(self, progress: float) -> float:
        """Return the greatest difficulty of the phantoms at this point of the run."""
        return min(max((progress - self.easy) / max(self.easy, 1e-6), 0.0), 1.0)


def train(
    recipe: Recipe,
    folder: Path,
    anatomies: list[Anatomy],
    device: torch.device,
    *,
    workers: int | None = None,
    report: Report | None = None,
    stop_after: float | None = None,
) -> int:
    """Train, or go on from what `folder` holds, until the recipe's length is reached; return the steps of all calls.

    Phantoms are counted on from those that the model it starts from has learned from, so that they are new ones.
    Leaves there `checkpoint.pt`, the network's averaged weights (`PRESET.safetensors`, float16) and `log.jsonl`, for
    each line of which the network is scored.
    workers: processes that make phantoms (None: one for each processor beyond two; with two, taking turns is faster);
    report: called with each line of the log; stop_after: seconds after which this call ends, finished or not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = get_task(recipe.task)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = True
    learner = Learner(recipe.network, task, recipe.lr, device, recipe.seed)
    before = load_run(folder, learner, device)
    if before is None:
        before = {"seconds": 0.0, "made": 0, "steps": 0}
        if recipe.start:
            before["made"] = _start_from(learner, task, recipe.start)
    done = recipe.progress(before["steps"])

    difficulty = _ByStep(recipe, before["steps"])
    first_seed = TRAINING_SEEDS + recipe.seed * 100_000_000 + before["made"]
    stream = PhantomStream(task, anatomies, difficulty, first_seed)
    workers = max((os.cpu_count() or 2) - 2, 0) if workers is None else workers
    batches = SampleBatches(stream, recipe.batch, workers)
    validation = ValidationSet.of(task, anatomies, recipe.validation)

    write_json(folder / "recipe.json", asdict(recipe))
    began = time.perf_counter()
    steps, waited = before["steps"], 0.0

    def here() -> float:
        """Return the seconds of this call."""
        return time.perf_counter() - began

    def total() -> dict[str, Any]:
        """Return what all calls of the run come to."""
        return {"seconds": before["seconds"] + here(), "made": before["made"] + batches.made, "steps": steps}

    def tell() -> None:
        line = total() | {
            "difficulty": round(recipe.difficulty(done), 3),
            "waited": round(waited / max(here(), 1e-6), 3),
            "loss": round(learner.mean_loss(), 4),
            "dice": validation.score(learner, device),
        }
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        if report:
            report(line)

    saved = scored = here()
    while done < 1.0 and (stop_after is None or here() < stop_after):
        started = time.perf_counter()
        images, labels = next(batches)
        waited += time.perf_counter() - started
        images = images.to(device, torch.float32, non_blocking=True)
        # By the step, so that a run that was stopped ends as one that was not.
        generator = torch.Generator().manual_seed(recipe.seed + 7919 * (steps + 1))
        images, labels = vary(images, labels.to(device, non_blocking=True), task, generator)
        brain = (images != 0).any(1, keepdim=True)
        complete = recipe.complete[0] + (recipe.complete[1] - recipe.complete[0]) * recipe.difficulty(done)
        images, seen = leave_out(images, task, complete, generator)
        targets = region_targets(labels, task)
        learner.step(images, targets, seen, brain, rate(done, learner.step_count, flat=recipe.flat))
        steps += 1
        done = recipe.progress(steps)
        if here() - saved > _SAVE_SECONDS:
            save_run(folder, learner, total())
            saved = here()
        if here() - scored > _SCORE_SECONDS:
            tell()
            scored = here()
    save_run(folder, learner, total())
    tell()
    return steps


@dataclass(frozen=True)
class _ByStep:
    """The difficulty of a sample by its number: whoever makes it, and however early.

    Anywhere from 0 to the greatest of its step, evenly (the golden ratio's multiples leave no gaps).
    """

    recipe: Recipe
    first_step: int

    def __call__(self, index: int) -> float:
        number = self.first_step * self.recipe.batch + index
        greatest = self.recipe.difficulty(self.recipe.progress(number // self.recipe.batch))
        return greatest * (number * _GOLDEN % 1.0)


def _start_from(learner: Learner, task: Task, name: str) -> int:
    """Give a learner the weights of a stored model, or what fits of an encoder's; return how many phantoms of its task
    those have learned from.

    Raises `BrainMVPError` if its network is another one.
    """
    model = ModelStore().resolve(name)
    if model.card.kind == "encoder":
        begun = begin(task, model, task.recipe)
        config, weights, made = begun.config, begun.network.state_dict(), 0
    else:
        config, weights, made = model.card.network, model.load_weights(), model.card.training.get("made", 0)
    config = config.without_deep_supervision()
    if config != learner.config:
        preset = next((preset for preset in PRESETS if config_of(preset, task) == config), None)
        remedy = f"add --network {preset}" if preset else "start from one of the same kind"
        raise BrainMVPError(f"{name} is another network than {learner.preset}; {remedy}.")
    learner.start_from({entry: weights[entry] for entry in learner.average}, 0)
    return int(made)
