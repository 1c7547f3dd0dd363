"""Stopping a training from outside: it ends after the step that it is in, with a checkpoint."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl+C; what torchrun and SLURM send at the end; what `sbatch --signal=USR1@120` sends before that.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


class StoppedError(Exception):
    """Work ended before its result was there, because it was asked to."""


class Stop:
    """Tells whether a signal came."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def check(self) -> None:
        """Raise `StoppedError` if a signal came: for work that is done in parts, each of which is kept."""
        if self.signal:
            raise StoppedError(self.signal)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number).name


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Take signals for the length of the block; a second one of a kind does not hurry it, SIGKILL does."""
    stop = Stop()
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, stop._take) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
