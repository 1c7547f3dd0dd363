"""Small cohorts of stripped heads on grids of their own, for the tests of pretraining."""

from collections.abc import Callable
from pathlib import Path

from brainmvp.cohort import Index
from brainmvp.cohort.scan import index_folder


def cohort(write_study: Callable[..., Path], root: Path, studies: dict[str, str]) -> Index:
    """Write studies (name: sequences) and return their index."""
    for name, sequences in studies.items():
        write_study(name, sequences, root)
    return index_folder(root)[0]
