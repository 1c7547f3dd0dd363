"""The batches of a run, from worker processes that may die."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator

import blosc2
import torch
from torch.utils.data import DataLoader, Dataset

from brainmvp.errors import BrainMVPError, first_line

from ..data.stream import Batch, Stream

# More deaths than this are no accident, such as too little memory.
_PATIENCE = 3
# What PyTorch says of a death; the thread that pins batches for a GPU dies of that of a worker that hands one over.
_DEATHS = ("DataLoader worker", "Pin memory thread exited unexpectedly")


class Batches:
    """The batches of a stream from `first` to `last`; waited: seconds that the loop waited for them.

    A worker that is killed (by a system that is out of memory, most often) is replaced: since batch k is the same
    whoever makes it, nothing is lost or repeated. Iterating raises `BrainMVPError` for a file that cannot be read.
    """

    def __init__(
        self, stream: Stream, first: int, last: int, workers: int, pin: bool, tell: Callable[[str], None]
    ) -> None:
        self._stream, self._next, self._last, self._workers, self._pin = stream, first, last, workers, pin
        self._tell = tell
        self.waited = 0.0

    def __iter__(self) -> Iterator[Batch]:
        deaths = 0
        while self._next < self._last:
            try:
                yield from self._from_workers()
            except (RuntimeError, OSError, EOFError) as error:
                # OSError, EOFError: the worker died while it handed a batch over.
                of_worker = isinstance(error, OSError | EOFError) or any(d in str(error) for d in _DEATHS)
                if not of_worker or deaths == _PATIENCE:
                    raise
                deaths += 1
                self._tell(f"A worker died ({first_line(error)}). New workers go on from batch {self._next}.")

    def _from_workers(self) -> Iterator[Batch]:
        batches = iter(self._loader())
        while self._next < self._last:
            begin = time.perf_counter()
            batch = next(batches)
            self.waited += time.perf_counter() - begin
            if isinstance(batch, BrainMVPError):
                raise batch
            self._next += 1
            yield batch

    def _loader(self) -> DataLoader:
        # A forked process may hang on the locks of the parent's threads; Windows has neither way.
        start = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        return DataLoader(
            _Telling(self._stream), batch_size=None, sampler=range(self._next, self._last), num_workers=self._workers,
            pin_memory=self._pin, prefetch_factor=4 if self._workers else None, worker_init_fn=_start_worker,
            multiprocessing_context=start if self._workers else None,
        )  # fmt: skip


class _Telling(Dataset):
    """A stream that hands over what is wrong as an item: raised in a worker, it would arrive with a traceback."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getitem__(self, number: int) -> Batch | BrainMVPError:
        try:
            return self._stream[number]
        except BrainMVPError as error:
            return error


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    blosc2.set_nthreads(1)  # else each file that is opened starts threads, as many as there are cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the loop, which ends its step first
