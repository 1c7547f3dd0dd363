"""One at a time: MONAI Label's datastore shares plain dictionaries between threads without a lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Together:
    """Does a thing once for all threads that asked for it before it began."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._lock = RLock()
        self._begun = 0
        self._done = 0  # the number of the last one that succeeded

    def asked(self) -> int:
        """Ask, and return what to give to `answer`."""
        return self._begun

    def answer(self, asked: int) -> None:
        """Return when the thing was done, by whatever thread, after this one asked."""
        with self._lock:
            if self._done > asked:
                return
            self._begun += 1
            number = self._begun
            self._action()
            self._done = number


class Turns:
    """A lock that a thread may take again.

    before: done whenever a thread takes it for the first time; after: done, without the lock, when a thread lets it
    go that called `changed` meanwhile. Both are done once for several threads that wait.
    """

    def __init__(self, before: Callable[[], object], after: Callable[[], object]) -> None:
        self.lock = RLock()  # alone, without `before` and `after`
        self._depth = 0
        self._changed = False
        self._before = Together(before)
        self._after = Together(after)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold the turn."""
        asked, wanted = self._before.asked(), None
        try:
            with self.lock:
                self._depth += 1
                try:
                    if self._depth == 1:
                        self._before.answer(asked)
                    yield
                finally:
                    self._depth -= 1
                    if self._depth == 0 and self._changed:
                        self._changed = False
                        wanted = self._after.asked()
        finally:
            if wanted is not None:
                self._after.answer(wanted)

    def changed(self) -> None:
        """Note, while holding the turn, that `after` is due."""
        self._changed = True


def in_turn(method: Callable[P, R]) -> Callable[P, R]:
    """Run a method of an object while holding the object's `turns`."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> R:
        with self.turns.take():
            return method(self, *args, **kwargs)

    return guarded
