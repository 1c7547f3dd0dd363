"""One inference at a time: two would share the same cores or GPU, take as long, and need twice the memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class InferenceTurn:
    """Whose turn it is. Work in the background begins only while no client runs an inference or waits for one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._clients = 0
        self._idle = Condition()

    @contextmanager
    def of_client(self) -> Iterator[None]:
        """Hold the turn for a client."""
        with self._idle:
            self._clients += 1
        try:
            with self._lock:
                yield
        finally:
            with self._idle:
                self._clients -= 1
                self._idle.notify_all()

    @contextmanager
    def of_background(self) -> Iterator[None]:
        """Hold the turn for work that nobody waits for."""
        with self._idle:
            self._idle.wait_for(lambda: self._clients == 0)
        with self._lock:
            yield


TURN = InferenceTurn()
