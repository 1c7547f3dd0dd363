"""Work in threads, results on the main thread.

MRML and Qt belong to the main thread. A piece of work touches neither; what it returns, and what it reports on the
way, waits in a queue until the main thread calls `drain`: a timer in Slicer, a loop in the tests. What only the main
thread can do, and takes long, is cut into steps, one for each `drain`.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Callable

from .errors import Abandoned, ModuleError, of_disk

_THREAD = "BrainMVP"
_LENT_SECONDS = 0.01


def lend_lock() -> None:
    """Let the threads run for a moment, if there are any: the main thread may hold Python's lock while it is idle.

    Whether it does depends on the program around Python; those of a scene that was closed are let run, too.
    """
    if any(thread.name.startswith(_THREAD) for thread in threading.enumerate()):
        time.sleep(_LENT_SECONDS)


class Job:
    """One piece of work; it calls `report` often, which is also where it learns that nobody waits any more."""

    def __init__(
        self, name: str, tell: Callable[[str, float | None], None], undo: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._tell = tell
        self._undo = undo
        self._abandoned = threading.Event()

    @property
    def abandoned(self) -> bool:
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """Stop waiting: what the work returns or reports is thrown away from now on."""
        self._abandoned.set()
        self._undo()

    def report(self, step: str, fraction: float | None = None) -> None:
        """Say what is being done (fraction 0…1, None where nobody knows); raises `Abandoned`."""
        if self.abandoned:
            raise Abandoned
        self._tell(step, fraction)


class Background:
    """Starts jobs and delivers what becomes of them."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue = queue.SimpleQueue()
        self._running: list[Job] = []

    @property
    def running(self) -> list[Job]:
        """The jobs that somebody waits for."""
        return [job for job in self._running if not job.abandoned]

    def start(
        self,
        name: str,
        work: Callable[[Job], Any],
        done: Callable[[Any], None],
        failed: Callable[[ModuleError], None],
        progress: Callable[[str, float | None], None] | None = None,
    ) -> Job:
        """Run `work` in a thread of its own; `done`, `failed` and `progress` are called by `drain`."""

        def tell(step: str, fraction: float | None) -> None:
            if progress:
                self._arrived.put((job, progress, (step, fraction), False))

        def run() -> None:
            self._attempt(
                job, lambda: work(job), lambda result: self._arrived.put((job, done, (result,), True)), failed
            )

        job = Job(name, tell)
        self._running.append(job)
        threading.Thread(target=run, name=f"{_THREAD} {name}", daemon=True).start()
        return job

    def start_steps(
        self,
        name: str,
        steps: Iterator[tuple[str, float]],
        done: Callable[[Any], None],
        failed: Callable[[ModuleError], None],
        progress: Callable[[str, float | None], None],
        undo: Callable[[], None] = lambda: None,
    ) -> Job:
        """Go through `steps` on the main thread, one at each `drain`, and call `done(None)`.

        steps: a generator, which says before each step what it does and how far it is; abandoned, it is closed. undo:
        called if it comes to no end, whether it has begun or not: abandoned before `done`, or failed.
        """

        def stop() -> None:
            steps.close()
            undo()

        def over(error: ModuleError) -> None:
            undo()
            failed(error)

        def advance() -> None:
            self._attempt(job, lambda: next(steps, None), follow, over)

        def follow(step: tuple[str, float] | None) -> None:
            if step is None:
                self._arrived.put((job, done, (None,), True))
                return
            progress(*step)
            self._arrived.put((job, advance, (), False))

        job = Job(name, progress, stop)
        self._running.append(job)
        self._arrived.put((job, advance, (), False))
        return job

    def _attempt(
        self,
        job: Job,
        action: Callable[[], Any],
        then: Callable[[Any], None],
        failed: Callable[[ModuleError], None],
    ) -> None:
        """Do something for a job; whatever goes wrong arrives as a `ModuleError`."""
        try:
            result = action()
        except Abandoned:
            self._arrived.put((job, None, (), True))
        except ModuleError as error:
            self._arrived.put((job, failed, (error,), True))
        except OSError as error:
            self._arrived.put((job, failed, (of_disk(error),), True))
        except Exception as error:
            sentence = f"{job.name} failed ({type(error).__name__}: {error}); please report it."
            self._arrived.put((job, failed, (ModuleError(sentence, traceback.format_exc()),), True))
        else:
            then(result)

    def drain(self) -> None:
        """Deliver what has arrived since the last call; a result whose job was abandoned is dropped."""
        for _ in range(self._arrived.qsize()):
            job, receiver, values, last = self._arrived.get()
            if (last or job.abandoned) and job in self._running:  # an abandoned one takes no further step
                self._running.remove(job)
            if receiver and not job.abandoned:
                receiver(*values)

    def close(self) -> None:
        """Abandon everything: after this nothing is delivered."""
        for job in self._running:
            job.abandon()
        self._running.clear()
