"""The training loop. Fabric brings devices, nodes, precision and DDP; the order of things stands here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW

from brainmvp.cohort import Index
from brainmvp.cohort.cases import listed
from brainmvp.cohort.index import Split
from brainmvp.errors import BrainMVPError
from brainmvp.stop import Stop, stoppable

from ..data.cache import Cache, CachedImages
from ..data.prepare import default_cache
from ..data.stream import Batch, Sampling, Stream
from ..model import PretrainingModel
from . import checkpoint
from .config import Config
from .devices import conditions, device_name, prefer_repeatable
from .export import export_run
from .folder import RunFolder
from .loader import Batches
from .log import Log, Report
from .meter import Meter
from .pictures import draw_reconstructions, draw_templates
from .validate import Validator


class Step(nn.Module):
    """One pass as DDP sees it: a batch in, four losses out."""

    def __init__(self, model: PretrainingModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Return (4,), in the order of `Losses`."""
        result = self.model(batch.images, batch.start, batch.plan)
        return torch.stack(self.model.losses(result, batch.epoch, batch.counts, batch.studies))


def pretrain(
    index_path: Path,
    out: Path,
    config: Config | None,
    fabric: Fabric,
    *,
    cache: Path | None = None,
    steps: int | None = None,
    workers: int = 4,
    save_every: int = 500,
    validate_every: int = 500,
    log_every: int = 10,
    deterministic: bool = False,
    report: Report | None = None,
) -> Path | None:
    """Pretrain on the prepared cohort of an index; return the folder of the exported model, or None if stopped.

    Going on with a run that is finished gives the model that it left.

    Args:
        index_path: the index.
        out: the run folder.
        config: of a new run; None goes on with the run in the folder.
        fabric: the devices.
        cache: of the prepared studies; None: beside the index.
        steps: stop after this optimiser step, with a checkpoint; the learning rate keeps to the whole run's course.
        workers: processes that read patches, per device; 0: none.
        save_every, validate_every, log_every: optimiser steps between two.
        deterministic: on a GPU, see `devices.prefer_repeatable`.
        report: called with each record of the log.

    Raises:
        BrainMVPError: nothing to train on, a run or index that does not fit, a damaged checkpoint or cache, a loss that
            is not a number (the checkpoints before stay).

    """
    fabric.launch()

    def tell(sentence: str) -> None:
        if report and fabric.is_global_zero:
            report({"warning": sentence})

    index = Index.read(index_path, on_error=tell)
    folder = RunFolder(out)
    resumed = config is None
    config = config or _first(fabric, lambda: folder.resume(index))
    if resumed and folder.finished:
        return folder.model if fabric.is_global_zero else None
    store = Cache(cache or default_cache(index_path), config.spacing)
    # Opened once, so that all processes have the same ones.
    training, held_out, left_out = _first(
        fabric, lambda: _open(store, index, set(folder.left_out()) if resumed else set(), tell)
    )
    if not training:
        raise BrainMVPError(
            f"{index_path} has no usable study to train on; see what `brainmvp prepare` says."
        )
    under, prepared = (
        conditions(fabric, len(training)),
        {name: str(images) for name, images in training.items()},
    )

    def settle() -> None:
        if resumed:
            folder.check(under, prepared)
        else:
            folder.start(config, index_path, index, under, prepared, left_out)

    _first(fabric, settle)
    if deterministic and fabric.device.type == "cuda":
        prefer_repeatable()
    run = _Run(config, fabric, folder, list(training.values()), held_out, workers, report)
    run.begin(resumed)
    with stoppable() as stop:
        finished = run.go(stop, steps or run.steps, save_every, validate_every, log_every)
    if not finished or not fabric.is_global_zero:
        return None
    return export_run(folder, run.model, config, index, training)


class _Run:
    """The state of a run on this process."""

    def __init__(
        self, config: Config, fabric: Fabric, folder: RunFolder, training: list[CachedImages],
        held_out: list[CachedImages], workers: int, report: Report | None,
    ) -> None:  # fmt: skip
        self.config, self.fabric, self.folder, self.workers = config, fabric, folder, workers
        self.steps = config.steps(len(training), fabric.world_size)
        sampling = Sampling(config.patch, config.template_shape, config.recipe, config.series, config.seed)
        self.stream = Stream(training, sampling, config.batch, fabric.global_rank, fabric.world_size)
        self.validator = Validator(held_out, sampling) if held_out else None
        torch.manual_seed(config.seed)
        self.model = PretrainingModel(config.network, config.recipe, config.template_shape)
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.step_number = 0
        self.report = report
        self.log: Log | None = None

    def begin(self, resumed: bool) -> None:
        """Load the last checkpoint, put everything onto its device and describe where the run goes on."""
        on_gpu = self.fabric.device.type == "cuda"
        self.model.to(self.fabric.device)
        optimizer = AdamW(
            self.model.parameters(),
            self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=on_gpu,
        )
        damaged: list[str] = []
        if resumed:
            self.step_number = checkpoint.load_newest(
                self.folder.checkpoints, self.model, optimizer, damaged.append
            )
        self.step, self.optimizer = self.fabric.setup(Step(self.model), optimizer)
        if self.fabric.is_global_zero:
            self.log = Log(self.folder, self.step_number, self.report)
            for sentence in damaged:
                self._say(sentence)
            self.folder.describe(f"{self.fabric.world_size} x {device_name(self.fabric)}", self.steps)
            if not on_gpu:
                self._say("There is no GPU: this works but is slow, days for what takes a GPU an hour.")
            if self.validator is None:
                self._say(
                    "No study is held out, so nothing is validated; `brainmvp index --validation` chooses some."
                )

    def go(self, stop: Stop, until: int, save_every: int, validate_every: int, log_every: int) -> bool:
        """Train to a step or until stopped; return whether the run is at its end."""
        accumulate, until = self.config.accumulate, min(until, self.steps)
        batches = Batches(
            self.stream, self.step_number * accumulate, until * accumulate, self.workers,
            self.fabric.device.type == "cuda", self._say,
        )  # fmt: skip
        stream, meter = iter(batches), Meter(self.config, self.fabric, self.steps, batches)
        while self.step_number < until and not self._stopped(stop, log_every):
            meter.add(*self._optimise(stream))
            self.step_number += 1
            if self.step_number % log_every == 0 or self.step_number == until:
                self._write(meter.record(self.step_number))
            if self.step_number % validate_every == 0 or self.step_number == self.steps:
                meter.check(self.step_number)
                with meter.paused():
                    self._validate()
            if self.step_number % save_every == 0 and self.step_number < until:
                meter.check(self.step_number)
                with meter.paused():
                    self._save()
        meter.check(self.step_number)
        self._save()
        if self.log:
            if stop.signal:
                self._say(
                    f"Stopped by {stop.signal} after step {self.step_number}; --resume goes on from there."
                )
            self.log.close()
        return self.step_number == self.steps

    def _optimise(self, batches: Any) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; return its losses (4,) and gradient norm, still on the device."""
        accumulate = self.config.accumulate
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step_number, self.steps)
        losses = torch.zeros(4, device=self.fabric.device)
        for number in range(accumulate):
            batch = next(batches).to(self.fabric.device)
            with self.fabric.no_backward_sync(self.step, enabled=number < accumulate - 1):
                found = self.step(batch)
                self.fabric.backward(found[0] / accumulate)
            losses += found.detach() / accumulate
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses, norm

    def _validate(self) -> None:
        """Score and draw on the first process; the others wait."""
        if self.log:
            title = f"step {self.step_number}"
            self.log.draw(
                "templates", draw_templates(self.model.templates, f"templates, {title}"), self.step_number
            )
            if self.validator:
                found = self.validator(self.model, self.fabric.device, self.fabric.autocast())
                self._write({"step": self.step_number, **found.scores})
                picture = draw_reconstructions(found.examples, f"held-out studies, {title}")
                self.log.draw("reconstructions", picture, self.step_number)
        self.fabric.barrier()

    def _save(self) -> None:
        if self.log:
            problem = checkpoint.save(
                self.folder.checkpoints, self.model, self.optimizer.optimizer, self.step_number
            )
            if problem:
                self._say(problem)
        self.fabric.barrier()

    def _stopped(self, stop: Stop, every: int) -> bool:
        """Tell whether to stop; several processes agree on it now and then, since asking makes them wait."""
        if self.fabric.world_size == 1:
            return stop.signal is not None
        if self.step_number % every:
            return False
        flag = torch.tensor(float(stop.signal is not None), device=self.fabric.device)
        stopped = bool(self.fabric.all_reduce(flag, reduce_op="sum") > 0)
        if stopped and stop.signal is None:
            stop.signal = "another process"
        return stopped

    def _write(self, record: dict[str, Any]) -> None:
        if self.log:
            self.log.add(record)

    def _say(self, sentence: str) -> None:
        self._write({"warning": sentence})


def _first(fabric: Fabric, act: Callable[[], Any]) -> Any:
    """Return what the first process finds when it acts; what is wrong there is raised on all."""
    found = problem = None
    if fabric.is_global_zero:
        try:
            found = act()
        except BrainMVPError as error:
            problem = str(error)
    problem = fabric.broadcast(problem)
    if problem:
        raise BrainMVPError(problem)
    return fabric.broadcast(found)


def _open(
    store: Cache, index: Index, without: set[str], tell: Callable[[str], None]
) -> tuple[dict[str, CachedImages], list[CachedImages], list[str]]:
    """Return the studies that train, by id, those that are held out, and the ids of those left out: not prepared, or
    without a series that can be used; that is told.

    without: ids of studies that the run began without. Raises `BrainMVPError` if none is prepared.
    """
    opened: dict[Split, dict[str, CachedImages]] = {"train": {}, "validation": {}}
    missing: dict[str, BrainMVPError | None] = {}
    for split, studies in opened.items():
        for session in index.select(split):
            if session.id in without:
                continue
            images = problem = None
            try:
                images = store.open(index, session)
            except BrainMVPError as error:
                problem = error
            if images:
                studies[session.id] = images
            else:
                missing[session.id] = problem
    problem = next(filter(None, missing.values()), None)
    if problem and not any(opened.values()):
        raise problem
    if missing:
        tell(f"Left out {listed(list(missing))}: not prepared; run `brainmvp prepare` to see why.")
    return opened["train"], list(opened["validation"].values()), list(missing)
