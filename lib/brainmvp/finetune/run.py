"""The loop: epochs of steps, validation, the best weights by it, and a state that a stopped run goes on from."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from brainmvp.errors import BrainMVPError
from brainmvp.finetune.folder import RunFolder
from brainmvp.finetune.machine import OneDevice
from brainmvp.finetune.optim import make_optimiser, set_rate
from brainmvp.finetune.prepared import PreparedCase
from brainmvp.finetune.problem import Problem, Sample, Validation
from brainmvp.finetune.randomness import generator
from brainmvp.finetune.result import Progress
from brainmvp.finetune.start import Start
from brainmvp.steps import GRADIENT_LIMIT
from brainmvp.tasks import Recipe, Task

# Seconds between complete states on disk, beside those at each validation and at a stop.
_SAVE_EVERY = 120.0
# Steps after which several processes ask each other whether to stop, and whether the loss is a number still.
_ASK_EVERY = 10
# Samples that are made ahead of the step that needs them, in batches.
_AHEAD = 3


class Run:
    """The state of a run, and its steps. What its folder holds it goes on from."""

    def __init__(
        self, task: Task, recipe: Recipe, begun: Start, problem: Problem, machine: OneDevice, folder: RunFolder,
        workers: int,
    ) -> None:  # fmt: skip
        self.task, self.recipe, self.problem = task, recipe, problem
        self.machine, self.folder = machine, folder
        self.workers = workers
        self.network = begun.network.to(machine.device, memory_format=torch.channels_last_3d)
        self.optimiser = make_optimiser(self.network, recipe)
        self.model, self.optimiser = machine.set_up(self.network, self.optimiser)
        self.epoch, self.step = 0, 0  # epochs done, steps done of the one after
        self.losses: list[float] = []
        self.finite = True  # whether all losses of this process were numbers
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"score": -math.inf, "epoch": 0, "scores": {}}
        self.seconds = 0.0
        state = folder.load()
        if state is not None:
            self._restore(state)

    def go(
        self,
        train: list[PreparedCase],
        validation: list[PreparedCase],
        progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> bool:
        """Train to the end, or until stopped; tell whether it is finished."""
        steps = self._steps_per_epoch(len(train))
        clock = _Clock(self.epoch * steps + self.step)
        with ThreadPoolExecutor(max(self.workers, 1)) as pool:
            while self.epoch < self.recipe.epochs and not self._out_of_patience():
                for batch in self._batches(train, steps, pool):
                    self._learn(batch, steps)
                    together = self._together(steps)
                    if together:
                        self._check_finite()
                    if progress:
                        progress(self._progress(steps, clock))
                    if should_stop is not None and together and self.machine.any(should_stop()):
                        self._save(clock)
                        return False
                    if (
                        together and clock.since_saved() > _SAVE_EVERY
                    ):  # a killed run loses little more than this
                        self._save(clock)
                self._end_epoch(validation, clock)
        return True

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the present weights, on the CPU."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def _learn(self, batch: Sample, steps: int) -> None:
        self.model.train()
        if self.recipe.frozen_encoder:
            self.network.encoder.eval()  # its batch statistics stay those of the pretraining
        done, total = self.epoch * steps + self.step, self.recipe.epochs * steps
        steady = "steps" not in self.recipe.published
        set_rate(self.optimiser, done, total, warm_up=steady)
        device = self.machine.device
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = self.problem.loss(self.model, batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.machine.backward(loss)
        if steady:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_LIMIT)
        self.optimiser.step()
        self.losses.append(float(loss.detach()))
        self.step += 1
        self.finite &= math.isfinite(self.losses[-1])

    def _together(self, steps: int) -> bool:
        """Tell whether the processes agree on things after this step: now and then, since asking makes them wait."""
        return self.machine.world == 1 or self.step % _ASK_EVERY == 0 or self.step == steps

    def _check_finite(self) -> None:
        """Raise `BrainMVPError`, in all processes or the others would wait for one, if a loss was not a number."""
        if self.machine.any(not self.finite):
            raise BrainMVPError(
                f"The loss is not a number after epoch {self.epoch}, step {self.step}: lower the learning rate "
                f"({self.recipe.lr:g}) and start in an empty folder."
            )

    def _batches(self, train: list[PreparedCase], steps: int, pool: ThreadPoolExecutor) -> Iterator[Sample]:
        """Yield the batches of this epoch that are still to come; what is in them depends on their place only."""
        seed, epoch = self.recipe.seed, self.epoch
        order: list[int] = []
        while len(order) < steps * self.recipe.batch * self.machine.world:
            order += self.problem.order(train, generator(seed, epoch, len(order)))

        def make(number: int) -> Sample:
            return self.problem.sample(train[order[number]], generator(seed, epoch, 1 + number, 1))

        waiting: dict[int, list[Future[Sample]]] = {}
        for step in range(self.step, steps):
            for ahead in range(step, min(step + _AHEAD, steps)):
                if ahead not in waiting:
                    first = (ahead * self.machine.world + self.machine.rank) * self.recipe.batch
                    waiting[ahead] = [pool.submit(make, first + i) for i in range(self.recipe.batch)]
            samples = [future.result() for future in waiting.pop(step)]
            yield {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def _end_epoch(self, validation: list[PreparedCase], clock: "_Clock") -> None:
        self.epoch, self.step = self.epoch + 1, 0
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "loss": sum(self.losses) / len(self.losses),
            "lr": self.optimiser.param_groups[0]["lr"],
        }
        self.losses = []
        last = self.epoch == self.recipe.epochs
        if last or self.epoch % self.recipe.validate_every == 0:
            result = self._validate(validation)
            record["scores"] = result.by_name
            if result.score > self.best["score"]:
                self.best = {"score": result.score, "epoch": self.epoch, "scores": result.by_name}
                if self.machine.rank == 0:
                    self.folder.save_best(self.network.state_dict())
        self.seconds += clock.lap()
        record["seconds"] = round(self.seconds, 2)
        self.history.append(record)
        if "scores" in record:
            self._save(clock)

    @torch.inference_mode()
    def _validate(self, cases: list[PreparedCase]) -> Validation:
        self.network.eval()
        mine = range(self.machine.rank, len(cases), self.machine.world)
        predictions: dict[int, Any] = {}
        for part in self.machine.gather({i: self.problem.predict(self.network, cases[i]) for i in mine}):
            predictions |= part
        return self.problem.validate([predictions[i] for i in range(len(cases))], cases)

    def _out_of_patience(self) -> bool:
        if self.recipe.patience is None or not self.best["epoch"]:
            return False
        later = [r for r in self.history if "scores" in r and r["epoch"] > self.best["epoch"]]
        return len(later) >= self.recipe.patience

    def _steps_per_epoch(self, cases: int) -> int:
        return self.recipe.steps_per_epoch or math.ceil(cases / (self.recipe.batch * self.machine.world))

    def _progress(self, steps: int, clock: "_Clock") -> Progress:
        done = self.epoch * steps + self.step
        total = self.recipe.epochs * steps
        scores = next((r["scores"] for r in reversed(self.history) if "scores" in r), {})
        left = clock.seconds_per_step(done) * (total - done)
        return Progress(
            self.epoch + 1, self.recipe.epochs, self.step, steps, self.losses[-1], scores, round(left, 1)
        )

    def _save(self, clock: "_Clock") -> None:
        self.seconds += clock.lap()
        clock.saved()
        if self.machine.rank:
            return
        self.folder.save(
            {
                "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "epoch": self.epoch,
                "step": self.step, "losses": self.losses, "history": self.history, "best": self.best,
                "seconds": self.seconds,
            }
        )  # fmt: skip
        self.folder.write_history(self.history)

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise BrainMVPError(
                f"{self.folder.path} holds a run of another network; choose an empty folder."
            ) from error
        self.epoch, self.step, self.losses = state["epoch"], state["step"], state["losses"]
        self.history, self.best, self.seconds = state["history"], state["best"], state["seconds"]


class _Clock:
    def __init__(self, steps_before: int) -> None:
        self._begin = self._lap = self._saved = time.perf_counter()
        self._before = steps_before

    def seconds_per_step(self, done: int) -> float:
        """Return the mean of this call, validations and saving included."""
        return (time.perf_counter() - self._begin) / max(done - self._before, 1)

    def lap(self) -> float:
        now = time.perf_counter()
        passed, self._lap = now - self._lap, now
        return passed

    def since_saved(self) -> float:
        return time.perf_counter() - self._saved

    def saved(self) -> None:
        self._saved = time.perf_counter()
