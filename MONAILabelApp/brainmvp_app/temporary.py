"""Temporary files that a request leaves to be sent, and none where it fails."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def written(prefix: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """Return a temporary file that `write` was called with, which the caller removes; it is gone if `write` raises."""
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix)
    os.close(handle)
    try:
        write(Path(name))
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)
