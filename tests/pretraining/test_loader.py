"""What a run does when those that make its batches die."""

import signal
from typing import Any

import blosc2
import pytest
import torch

from pretraining.run.loader import Batches, _start_worker


class Dying(Batches):
    """Batches whose workers die once, as PyTorch says it, after the first batch."""

    def __init__(self, death: Exception, told: list[str]) -> None:
        super().__init__(None, 0, 3, 1, True, told.append)
        self.deaths = [death]

    def _from_workers(self) -> Any:
        while self._next < self._last:
            if self._next and self.deaths:
                raise self.deaths.pop()
            self._next += 1
            yield self._next - 1


def test_a_death_is_told_and_no_batch_is_lost_also_where_a_thread_pins_them() -> None:
    for said in (
        "DataLoader worker (pid 7) is killed by signal: Killed.",
        "Pin memory thread exited unexpectedly",
    ):
        told: list[str] = []
        assert list(Dying(RuntimeError(said), told)) == [0, 1, 2]
        assert told[0].startswith(f"A worker died ({said.rstrip('.')}). New workers go on from batch 1")
    with pytest.raises(RuntimeError, match="out of memory"):
        list(Dying(RuntimeError("CUDA out of memory"), []))


def test_a_worker_computes_on_one_core() -> None:
    before = torch.get_num_threads(), blosc2.nthreads, signal.getsignal(signal.SIGINT)
    try:
        blosc2.set_nthreads(4)
        _start_worker(0)
        assert (torch.get_num_threads(), blosc2.nthreads) == (1, 1)
    finally:
        torch.set_num_threads(before[0])
        blosc2.set_nthreads(before[1])
        signal.signal(signal.SIGINT, before[2])
