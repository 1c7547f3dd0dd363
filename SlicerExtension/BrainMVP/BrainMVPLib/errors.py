"""The one error of the module."""

from __future__ import annotations

# No valid token, too slow, too many requests.
_LATER = (401, 403, 408, 429)


class ModuleError(Exception):
    """Something the user can do something about: one sentence with the remedy, and details for those who ask."""

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.details = details


class ServerError(ModuleError):
    """A request that failed.

    status: of the HTTP answer, None where there was none. Away is a server that gave no answer, or none that
    anybody could have given. Final is a refusal of what was sent; anything else may be accepted later: with another
    token, when there is room again, when the server is mended.
    """

    def __init__(self, sentence: str, details: str = "", status: int | None = None) -> None:
        super().__init__(sentence, details)
        self.status = status

    @property
    def away(self) -> bool:
        return self.status is None or self.status in (502, 503, 504)

    @property
    def final(self) -> bool:
        return self.status is not None and 400 <= self.status < 500 and self.status not in _LATER


def of_disk(error: OSError) -> ModuleError:
    """Return what this computer's disk refused as a sentence."""
    place, why = error.filename or "The disk", error.strerror or type(error).__name__
    return ModuleError(f"{place}: {why}; free some space, or choose another place.", repr(error))


class Abandoned(Exception):  # noqa: N818  # not an error: somebody decided so
    """Raised inside a piece of background work that nobody waits for any more."""
