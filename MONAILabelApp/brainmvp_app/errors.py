"""Refusals: an error with an HTTP status, and the status of every other error that means bad input."""

from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)

from brainmvp.errors import BrainMVPError
from brainmvp_app.pacs import ArchiveError


class RefusedError(BrainMVPError):
    """A request that is refused, with its HTTP status: 400 malformed, 403 closed, 404 unknown, 409 in conflict.

    502 and 503 are no refusals of what was sent: the archive, or the folder, is away.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error: 4xx for bad input, 502 of an archive, 500 for a fault of the server."""
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, ArchiveError):
        return 502
    if isinstance(error, BrainMVPError):
        return 422
    if isinstance(error, ImageNotFoundException | LabelNotFoundException):
        return 404
    is_bad_input = isinstance(error, MONAILabelException) and error.error is MONAILabelError.INVALID_INPUT
    return 400 if is_bad_input else 500
