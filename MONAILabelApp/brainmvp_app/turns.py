"""One at a time: MONAI Label's datastore shares plain dictionaries between threads without a lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Turns:
    """A lock that a thread may take again, and that does `before` whenever a thread takes it for the first time."""

    def __init__(self, before: Callable[[], object]) -> None:
        self._lock = RLock()
        self._depth = 0
        self._before = before

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold the turn."""
        with self._lock:
            self._depth += 1
            try:
                if self._depth == 1:
                    self._before()
                yield
            finally:
                self._depth -= 1


def in_turn(method: Callable[P, R]) -> Callable[P, R]:
    """Run a method of an object while holding the object's `turns`."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> R:
        with self.turns.take():
            return method(self, *args, **kwargs)

    return guarded
