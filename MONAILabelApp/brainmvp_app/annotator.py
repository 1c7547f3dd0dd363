"""Who asks: the name that a client gives, or what stock clients send instead."""

from typing import Any

from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_unicode

_LONGEST = 200


def annotator_of(request: dict[str, Any], otherwise: str = "") -> str:
    """Return `annotator`, else `client_id` (stock clients send one), else `otherwise`.

    Raises `RefusedError` (400) if the name is no short text, or the request holds some that cannot be stored.
    """
    check_unicode(request, "The request")
    name = request.get("annotator") or request.get("client_id") or otherwise
    if not isinstance(name, str) or len(name) > _LONGEST:
        raise RefusedError(400, f"annotator has to be a name of at most {_LONGEST} characters.")
    return name.strip()


def seconds_of(request: dict[str, Any]) -> float | None:
    """Return the seconds that an annotator spent; raises `RefusedError` (400) if they are no such number."""
    seconds = request.get("seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e7:
        raise RefusedError(400, "seconds has to be the time spent on the label, a number of 0 or more.")
    return float(seconds)
