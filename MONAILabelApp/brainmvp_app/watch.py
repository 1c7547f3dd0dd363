"""A training ends with the server that it works for: the server leaves its number, the training looks after it."""

import os
from collections.abc import Callable

import psutil

_SERVER = "BRAINMVP_SERVER"  # of the environment: what a server starts inherits it


def leave_number() -> None:
    """Tell the processes that this one starts that it is the server."""
    os.environ[_SERVER] = str(os.getpid())


def server_watch() -> Callable[[], bool]:
    """Return a function that tells whether the server of this process is gone.

    The number of the parent is not enough: on Windows it stays when the parent has ended, and in a virtual environment
    there is a process between the two.
    """
    parent = os.getppid()
    try:
        server = psutil.Process(int(os.environ[_SERVER])) if _SERVER in os.environ else None
    except psutil.NoSuchProcess:
        return lambda: True
    return lambda: os.getppid() != parent or (server is not None and not server.is_running())
