"""The training loop: one stream of phantoms, one or more networks that learn from it side by side."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.phantom.anatomy import Anatomy
from brainmvp.steps import rate
from brainmvp.tasks import get_task
from brainmvp.training.augment import leave_out, vary
from brainmvp.training.checkpoints import load_run, save_run
from brainmvp.training.learner import Learner
from brainmvp.training.loss import region_targets
from brainmvp.training.samples import TRAINING_SEEDS, PhantomStream, SampleBatches, fresh_samples
from brainmvp.training.validation import ValidationSet

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """What a run is made of; it goes into the card.

    minutes or steps: its length, whichever is reached first, over all restarts; batch: whole brains per step; echo:
    times that each phantom is used; flat: share of the run at the full learning rate, before it falls to zero, so that
    a run can be made longer; easy: share with clear pictures only, after which the difficulty rises to its full height
    at twice that; complete: share of samples with all sequences, at the start and at the end;
    start: the stored model (`NAME@VERSION`) whose weights the first network starts from; anatomies: the names of the
    brains that the phantoms are made of.
    """

    task: str
    networks: tuple[str, ...] = ("unet-compact",)
    minutes: float | None = None
    steps: int | None = None
    batch: int = 4
    echo: int = 1
    lr: float = 1.5e-3
    flat: float = 0.75
    easy: float = 0.15
    complete: tuple[float, float] = (0.7, 0.4)
    seed: int = 0
    validation: int = 24
    start: str | None = None
    anatomies: tuple[str, ...] = ()

    def progress(self, seconds: float, steps: int) -> float:
        """Return the share of the run that is done, 0…1."""
        by_time = seconds / 60 / self.minutes if self.minutes else 0.0
        by_steps = steps / self.steps if self.steps else 0.0
        return min(max(by_time, by_steps), 1.0)

    def difficulty(self, progress: float) -> float:
        """Return the difficulty of the phantoms at this point of the run."""
        return min(max((progress - self.easy) / max(self.easy, 1e-6), 0.0), 1.0)


def train(
    recipe: Recipe,
    folder: Path,
    anatomies: list[Anatomy],
    device: torch.device,
    *,
    workers: int | None = None,
    report: Report | None = None,
    save_every: float = 60.0,
    score_every: float = 900.0,
    stop_after: float | None = None,
) -> None:
    """Train, or go on from what `folder` holds, until the recipe's length is reached.

    Phantoms are counted on from those that the model it starts from has learned from, so that they are new ones.
    Leaves there `checkpoint.pt`, each network's averaged weights (`PRESET.safetensors`, float16) and `log.jsonl`.
    workers: processes that make phantoms (None: one for each processor beyond two; with two, taking turns is faster);
    report: called with each line of the log; save_every: seconds between checkpoints; score_every: seconds between
    lines of the log, for each of which the networks are scored; stop_after: seconds after which this call ends,
    finished or not.
    """
    if not (recipe.minutes or recipe.steps):
        raise ValueError("a recipe needs minutes or steps")
    folder.mkdir(parents=True, exist_ok=True)
    task = get_task(recipe.task)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = True
    learners = [Learner(preset, task, recipe.lr, device, recipe.seed) for preset in recipe.networks]
    before = load_run(folder, learners, device)
    if before is None:
        before = {"seconds": 0.0, "made": 0, "steps": 0}
        if recipe.start:
            before["made"] = _start_from(learners[0], recipe.start)
    done = recipe.progress(before["seconds"], before["steps"])

    told = multiprocessing.Value("d", recipe.difficulty(done))
    difficulty = _AsTold(told) if recipe.minutes else _ByStep(recipe, before["steps"])
    first_seed = TRAINING_SEEDS + recipe.seed * 100_000_000 + before["made"]
    stream = PhantomStream(task, anatomies, difficulty, first_seed)
    workers = max((os.cpu_count() or 2) - 2, 0) if workers is None else workers
    batches = SampleBatches(stream, recipe.batch, recipe.echo, workers, recipe.seed + before["steps"])
    validation = ValidationSet.of(task, anatomies, recipe.validation)

    write_json(folder / "recipe.json", asdict(recipe))
    clock = _Clock(before["seconds"])
    steps, waited = before["steps"], 0.0

    def total() -> dict[str, Any]:
        return {"seconds": clock.total(), "made": before["made"] + batches.made, "steps": steps}

    def tell() -> None:
        line = total() | {
            "difficulty": round(recipe.difficulty(done), 3),
            "waited": round(waited / max(clock.here(), 1e-6), 3),
            "loss": {learner.preset: round(learner.mean_loss(), 4) for learner in learners},
            "network_seconds": {learner.preset: round(learner.seconds, 1) for learner in learners},
            "dice": {learner.preset: validation.score(learner, device) for learner in learners},
        }
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        if report:
            report(line)

    saved = scored = clock.here()
    while done < 1.0 and (stop_after is None or clock.here() < stop_after):
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
        for learner in learners:
            share = rate(done, learner.step_count, flat=recipe.flat)
            learner.step(images, targets, seen, brain, share)
        steps += 1
        done = recipe.progress(clock.total(), steps)
        told.value = recipe.difficulty(done)
        if clock.here() - saved > save_every:
            save_run(folder, learners, total())
            saved = clock.here()
        if clock.here() - scored > score_every:
            tell()
            scored = clock.here()
    save_run(folder, learners, total())
    tell()


@dataclass(frozen=True)
class _ByStep:
    """The difficulty of a sample by the step that it is for: whoever makes it, and however early."""

    recipe: Recipe
    first_step: int

    def __call__(self, index: int) -> float:
        step = self.first_step + index // fresh_samples(self.recipe.batch, self.recipe.echo)
        return self.recipe.difficulty(self.recipe.progress(0.0, step))


@dataclass(frozen=True)
class _AsTold:
    """The difficulty of a run whose length is a time: as the training loop has told last, in a shared number."""

    value: Any

    def __call__(self, index: int) -> float:
        return self.value.value


def _start_from(learner: Learner, name: str) -> int:
    """Give a learner the weights of a stored model; return how many phantoms those have learned from.

    Raises `BrainMVPError` if its network is another one.
    """
    from brainmvp.modelstore import ModelStore  # which needs the image libraries

    model = ModelStore().resolve(name)
    if model.card.network != learner.config:
        raise BrainMVPError(
            f"{name} is another network than {learner.preset}; start from one of the same kind."
        )
    learner.start_from(model.load_weights(), 0)
    return int(model.card.training.get("made", 0))


class _Clock:
    """Seconds of this call, and of all calls of a run."""

    def __init__(self, before: float) -> None:
        self._before = before
        self._start = time.perf_counter()

    def here(self) -> float:
        return time.perf_counter() - self._start

    def total(self) -> float:
        return self._before + self.here()
