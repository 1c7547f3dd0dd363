"""Temporary files that a request leaves to be sent, and none where it fails."""

import tempfile
from collections.abc import Callable
from pathlib import Path


def written(prefix: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """Return a temporary file that `write` was called with, which the caller removes; it is gone if `write` raises.

    Nobody but its owner may read it.
    """
    # The folder is its owner's: `write` sets permissions of its own.
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        path = Path(folder) / f"written{suffix}"
        write(path)
        path.chmod(0o600)
        return path.replace(f"{folder}{suffix}")
