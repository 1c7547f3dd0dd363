"""Prepare a cohort in parallel: every study once, whatever stops it in between."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from brainmvp.cohort import Index, Session
from brainmvp.errors import BrainMVPError, first_line

from .cache import Cache

if TYPE_CHECKING:
    from distributed import Client

# (study that is done, fraction of the work)
Tell = Callable[[str, float], None]
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def default_cache(index_path: Path) -> Path:
    """Return the folder beside an index that its cache lies in."""
    return index_path.with_name(f"{index_path.stem}.cache")


def prepare_cohort(
    index: Index, cache: Cache, client: Client | None = None, tell: Tell | None = None
) -> list[str]:
    """Prepare what is not done yet and return the problems, one sentence per bad file.

    A bad file, a killed worker or a failed read costs only the study it is about; the same call again does the rest.

    Args:
        index: the cohort.
        cache: where the results go.
        client: of a Dask cluster, whose computers see the same folders; None: work in this process.
        tell: called after each study.

    Raises:
        BrainMVPError: the disk of the cache is full; what is done stays.

    """
    problems: list[str] = []
    for number, (session, outcome) in enumerate(_outcomes(index, cache, client), start=1):
        if isinstance(outcome, OSError) and outcome.errno in _NO_SPACE:
            raise BrainMVPError(
                f"{cache.folder} has no space left ({outcome.strerror}); free some and run it again: it goes on there."
            ) from outcome
        if isinstance(outcome, Exception):
            problems.append(f"{session.id} could not be prepared ({first_line(outcome)}); run it again.")
        else:
            problems += outcome
        if tell:
            tell(session.id, number / len(index.sessions))
    return problems


@contextmanager
def cluster(workers: int, address: str | None) -> Iterator[Client | None]:
    """Connect to a Dask cluster, or start one of processes here; with one worker there is none."""
    if address is None and workers == 1:
        yield None
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BrainMVPError('Dask is not installed; run `pip install "brainmvp[train]"`.') from error
    if address is not None:
        try:
            client = Client(address, timeout=5)
        except (OSError, ValueError) as error:  # ValueError: not of the form of an address
            raise BrainMVPError(
                f"No Dask scheduler answers at {address}; start one, or correct it as in tcp://node01:8786."
            ) from error
        with client:
            yield client
        return
    local = LocalCluster(
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    )
    with local, Client(local) as client:
        yield client


def default_workers() -> int:
    """Return how many processes prepare at a time: one per core, at most eight, since each holds whole images."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def _outcomes(
    index: Index, cache: Cache, client: Client | None
) -> Iterator[tuple[Session, list[str] | Exception]]:
    """Yield what became of each study, as it is done: its problems, or what stopped it."""
    if client is None:
        for session in index.sessions:
            try:
                outcome: list[str] | Exception = cache.prepare(index, session)
            except Exception as error:
                outcome = error
            yield session, outcome
        return
    from distributed import as_completed

    # Each task takes its own session only, not the whole index.
    futures = {
        client.submit(cache.prepare, index.with_sessions([session]), session, pure=False): session
        for session in index.sessions
    }
    try:
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except (Exception, CancelledError) as error:
                yield futures[future], error
    finally:
        client.cancel(list(futures))
