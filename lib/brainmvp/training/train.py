"""The training of the built-in models: phantoms in, one checkpoint and one log out; it can stop and go on."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset

from brainmvp.errors import BrainMVPError
from brainmvp.networks import NetworkConfig
from brainmvp.phantom.anatomy import Anatomy, load_anatomies
from brainmvp.tasks import get_task
from brainmvp.training.augment import Pool
from brainmvp.training.loss import dice_scores
from brainmvp.training.plan import TrainingPlan
from brainmvp.training.samples import PhantomSamples, Sample, collate
from brainmvp.training.trainee import Trainee, half_precision

_CHECKPOINT = "checkpoint.pt"
_LOG = "log.jsonl"
_HELD_OUT = 24  # phantoms that score the run
Report = Callable[[dict[str, Any]], None]


def train(
    plan: TrainingPlan,
    out: Path,
    device: str = "cpu",
    workers: int = 2,
    minutes: float | None = None,
    anatomies: list[Anatomy] | None = None,
    report: Report | None = None,
) -> dict[str, Trainee]:
    """Train the plan's networks on one stream of phantoms, and return them when all samples are used.

    `out` holds the checkpoint and the log; a run that finds its checkpoint there goes on from it. `minutes` stops
    early, with a checkpoint; calling again continues. `anatomies`: the brains to start from, the atlas where absent.
    Raises `BrainMVPError` if `out` holds another plan's run.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(plan, out, torch.device(device), anatomies, report or (lambda event: None))
    run.restore()
    deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
    every = max(1, plan.samples // plan.batch // 24)
    for number, batch in run.batches(workers):
        run.pool.add(batch, number * plan.batch)
        if number < run.batches_done:  # a resumed run fills its pool again
            continue
        run.learn()
        run.batches_done = number + 1
        if run.batches_done % every == 0:
            run.note()
        if time.monotonic() > deadline:
            break
    run.note()
    run.evaluate(workers)
    run.save()
    return run.trainees


class _Run:
    def __init__(
        self,
        plan: TrainingPlan,
        out: Path,
        device: torch.device,
        anatomies: list[Anatomy] | None,
        report: Report,
    ) -> None:
        self.plan, self.out, self.device, self.report = plan, out, device, report
        self.anatomies = anatomies or load_anatomies(plan.spacing)
        task = get_task(plan.task)
        torch.manual_seed(plan.seed)
        self.trainees = {
            name: Trainee(NetworkConfig.preset(name, len(task.sequences), len(task.regions)), plan, device)
            for name in plan.networks
        }
        self.region_names = [region.name for region in task.regions]
        self.pool = Pool(plan.pool, device)
        self.batches_done = 0
        self.losses: dict[str, list[torch.Tensor]] = {name: [] for name in plan.networks}
        self.started = time.monotonic()
        self.waited = 0.0

    def batches(self, workers: int) -> Iterator[tuple[int, Sample]]:
        """Yield (number, batch) of phantoms made by worker processes, from those that the pool would still hold."""
        samples = PhantomSamples(self.plan, self.anatomies)
        first = max(0, self.batches_done - -(-self.plan.pool // self.plan.batch))
        rest = Subset(samples, range(first * self.plan.batch, self.plan.samples))
        loader = DataLoader(
            rest, self.plan.batch, num_workers=workers, collate_fn=collate, worker_init_fn=_one_thread,
            prefetch_factor=4 if workers else None, pin_memory=self.device.type == "cuda",
        )  # fmt: skip
        iterator = iter(loader)
        for number in itertools.count(first):
            start = time.monotonic()
            batch = next(iterator, None)
            self.waited += time.monotonic() - start
            if batch is None:
                return
            yield number, batch

    def learn(self) -> None:
        """Take `echo` steps with every network on varied samples of the pool."""
        generator = torch.Generator().manual_seed(self.plan.seed + 7919 * (self.batches_done + 1))
        for _ in range(self.plan.echo):
            drawn = self.pool.draw(self.plan.batch, generator)
            for name, trainee in self.trainees.items():
                self.losses[name].append(trainee.step(*drawn))

    def note(self) -> None:
        """Log and report the mean loss since the last note, the rate and the share of time spent waiting."""
        elapsed = time.monotonic() - self.started
        losses = {name: round(torch.stack(v).mean().item(), 4) for name, v in self.losses.items() if v}
        for values in self.losses.values():
            values.clear()
        done = self.batches_done * self.plan.batch
        self._log({"samples": done, "of": self.plan.samples, "loss": losses, "seconds": round(elapsed, 1),
                   "waiting": round(self.waited / max(elapsed, 1e-6), 3)})  # fmt: skip

    @torch.inference_mode()
    def evaluate(self, workers: int) -> None:
        """Log the mean Dice of the averaged networks on the held-out phantoms."""
        held_out = Subset(PhantomSamples(self.plan, self.anatomies, held_out=True), range(_HELD_OUT))
        loader = DataLoader(held_out, 2, num_workers=workers, collate_fn=collate, worker_init_fn=_one_thread)
        scores: dict[str, list[torch.Tensor]] = {name: [] for name in self.trainees}
        for batch in loader:
            images = batch.images.to(self.device).float()
            for name, trainee in self.trainees.items():
                network = trainee.shipped().eval()
                with half_precision(self.device):
                    logits = network(images).float().cpu()
                scores[name].append(dice_scores(logits, batch.regions, batch.brain))
        dice = {
            name: dict(
                zip(self.region_names, [round(v, 4) for v in torch.cat(s).nanmean(0).tolist()], strict=True)
            )
            for name, s in scores.items()
        }
        self._log({"samples": self.batches_done * self.plan.batch, "held_out_dice": dice})

    def save(self) -> None:
        """Write the checkpoint, complete or not at all."""
        state = {
            "plan": self.plan.model_dump_json(),
            "batches_done": self.batches_done,
            "trainees": {name: trainee.state() for name, trainee in self.trainees.items()},
        }
        temporary = self.out / f".{_CHECKPOINT}"
        torch.save(state, temporary)
        os.replace(temporary, self.out / _CHECKPOINT)

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.out / _CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["plan"] != self.plan.model_dump_json():
            raise BrainMVPError(
                f"{path} belongs to a run with another plan; choose another folder or delete it."
            )
        self.batches_done = state["batches_done"]
        for name, values in state["trainees"].items():
            self.trainees[name].restore(values)

    def _log(self, event: dict[str, Any]) -> None:
        with (self.out / _LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(event) + "\n")
        self.report(event)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
