"""The one error of the module."""

from __future__ import annotations


class ModuleError(Exception):
    """Something the user can do something about: one sentence with the remedy, and details for those who ask."""

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.details = details


class ServerError(ModuleError):
    """A request that failed.

    status: of the HTTP answer, None where there was none. Away is a server that gave no answer, or none that
    anybody could have given: asking again later may help.
    """

    def __init__(self, sentence: str, details: str = "", status: int | None = None) -> None:
        super().__init__(sentence, details)
        self.status = status

    @property
    def away(self) -> bool:
        return self.status is None or self.status in (502, 503, 504)


class Abandoned(Exception):  # noqa: N818  # not an error: somebody decided so
    """Raised inside a piece of background work that nobody waits for any more."""
