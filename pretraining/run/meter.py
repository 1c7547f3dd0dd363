"""What the log says of the steps since its last line."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from brainmvp.errors import BrainMVPError

from ..model import Losses
from .config import Config
from .loader import Batches


class Meter:
    """Means over the steps since the last record, kept on the device until then: a step waits for nothing."""

    def __init__(self, config: Config, fabric: Fabric, steps: int, batches: Batches) -> None:
        """steps: of the whole run."""
        self._config, self._fabric, self._steps_of_run, self._batches = config, fabric, steps, batches
        self._sum = torch.zeros(5, device=fabric.device)
        self._restart()

    def _restart(self) -> None:
        self._begin, self._waited = time.perf_counter(), self._batches.waited
        self._sum.zero_()
        self._steps = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out of the throughput what is done meanwhile, besides training."""
        began = time.perf_counter()
        yield
        self._begin += time.perf_counter() - began

    def add(self, losses: Tensor, norm: Tensor) -> None:
        """Add a step's losses (4,) and its gradient norm."""
        self._sum[:4] += losses
        self._sum[4] += norm
        self._steps += 1

    def check(self, step: int) -> list[float]:
        """Return the sums since the last record, the means over the processes; step: the one that was done last.

        Raises `BrainMVPError`, in all processes, if one is not a number: nor are the weights then, from that step on.
        """
        sums = self._fabric.all_reduce(self._sum.clone(), reduce_op="mean").tolist()
        if not all(map(math.isfinite, sums)):
            raise BrainMVPError(
                f"The loss is not a number after step {step}: lower the learning rate "
                f"({self._config.learning_rate:g}) and start in an empty folder."
            )
        return sums

    def record(self, step: int) -> dict[str, Any]:
        """Return means, the last learning rate, the throughput, and the share of the time that data was waited for.

        step: the one that was done last. Raises `BrainMVPError` as `check`.
        """
        config, fabric = self._config, self._fabric
        *losses, norm = (value / self._steps for value in self.check(step))
        seconds = time.perf_counter() - self._begin
        studies = self._steps * config.batch * config.accumulate * fabric.world_size
        record = {
            "step": step, **dict(zip(Losses._fields, losses, strict=True)), "gradient_norm": norm,
            "learning_rate": config.rate(step - 1, self._steps_of_run),
            "studies_per_second": studies / seconds, "waiting_share": (self._batches.waited - self._waited) / seconds,
            "progress": step / self._steps_of_run,
        }  # fmt: skip
        if fabric.device.type == "cuda":
            record["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
        self._restart()
        return record
