"""What a training tells others while it runs: a small file, a lock that says it is alive, a wish to stop it."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN, write_json

# Whoever asks whether a training runs holds its lock for less than so long, seconds.
_LOOK = 2.0
# How often the file is written at most, seconds.
_EVERY = 0.5
_RUNNING = ("preparing", "training", "measuring")


@dataclass(frozen=True)
class TrainingStatus:
    """Where a training is.

    state: preparing, training, measuring, done, stopped, failed or interrupted; message: a sentence; loss: of the last
    step; dice: mean of the last validation; seconds_left: of the training, or None before it is known.
    """

    model: str
    state: str
    message: str
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    dice: float | None = None
    seconds_left: float | None = None


class TrainingFile:
    """The status of the last training in a folder, `.brainmvp/training.json`, and its lock and stop mark beside it."""

    def __init__(self, studies: Path) -> None:
        folder = studies / HIDDEN
        self._path = folder / "training.json"
        self._lock = FileLock(folder / "training.lock")
        self._stop = folder / "training.stop"
        self._written = 0.0

    def begin(self) -> None:
        """Hold the lock from now to the end of this process; raises `BrainMVPError` if another one holds it."""
        try:
            self._lock.acquire(timeout=_LOOK)
        except Timeout as error:
            raise BrainMVPError("A training runs already; wait for it, or stop it.") from error

    def end(self) -> None:
        """Let the lock go."""
        self._stop.unlink(missing_ok=True)
        self._lock.release()

    def running(self) -> bool:
        """Tell whether a process trains: a killed one lets the lock go."""
        try:
            with self._lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def announce(self, model: str) -> None:
        """Say that a training is about to begin, and forget who wanted the last one to stop."""
        self._stop.unlink(missing_ok=True)
        self.write(TrainingStatus(model, "preparing", "The training starts."))

    def ask_to_stop(self) -> None:
        """Ask the process that trains to stop after its step."""
        self._stop.touch()

    def stop_wanted(self) -> bool:
        """Tell whether someone asked."""
        return self._stop.exists()

    def write(self, status: TrainingStatus, at_once: bool = True) -> None:
        """Write the status; unless `at_once`, not more than twice a second."""
        now = time.monotonic()
        if not at_once and now - self._written < _EVERY:
            return
        self._written = now
        write_json(self._path, asdict(status))

    def read(self, starting: bool = False) -> TrainingStatus | None:
        """Return the status of the last training, or None; if no process works on it, `interrupted`, or `stopped`.

        starting: one was started that may not hold the lock yet.
        """
        status = None
        with suppress(OSError, ValueError, TypeError):
            status = TrainingStatus(**json.loads(self._path.read_text("utf-8")))
        if status and status.state in _RUNNING and not starting and not self.running():
            state = "stopped" if self.stop_wanted() else "interrupted"
            place = f"in epoch {status.epoch}" if status.epoch else f"while {status.state}"
            message = f"The training was {state} {place}; start it again to go on."
            return replace(status, state=state, message=message, seconds_left=None)
        return status
