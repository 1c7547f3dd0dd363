"""One server on a folder: two would write over each other's notes about labels."""

import logging
from pathlib import Path

from filelock import FileLock, Timeout

from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN

logger = logging.getLogger(__name__)

# A server that was just told to stop may still end what it began, seconds.
_PATIENCE = 5.0


def hold(folder: Path) -> FileLock:
    """Return a lock on a folder of studies, held while it is referred to and gone with the process.

    Raises `BrainMVPError` if another server has it; a file system without locks is served all the same.
    """
    lock = FileLock(folder / HIDDEN / "server.lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise BrainMVPError(
            f"Another server works on {folder}; use that one, or stop it first: two would lose notes about labels."
        ) from error
    except (OSError, NotImplementedError) as error:
        logger.warning("%s cannot be locked (%s); let no other server work on it.", folder, error)
    return lock
