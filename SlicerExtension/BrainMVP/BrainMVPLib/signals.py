"""Tells others that something happened, without knowing them."""

from __future__ import annotations

from typing import Any, Callable


class Signal:
    """A list of functions that are called, in order, with what is emitted."""

    def __init__(self) -> None:
        self._receivers: list[Callable[..., Any]] = []

    def connect(self, receiver: Callable[..., Any]) -> None:
        """Call `receiver` at every emission from now on."""
        self._receivers.append(receiver)

    def disconnect_all(self) -> None:
        """Forget every receiver."""
        self._receivers.clear()

    def emit(self, *values: Any) -> None:
        """Call every receiver with the values."""
        for receiver in list(self._receivers):
            receiver(*values)
