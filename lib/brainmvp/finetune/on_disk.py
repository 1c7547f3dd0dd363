"""Arrays on disk of which a part is read at a time."""

from pathlib import Path
from typing import Any

import numpy as np

from brainmvp.files import atomically


class OnDisk:
    """An array in a .npy file, indexed like any other; no file stays open between two reads.

    A cohort has more arrays than a process may have open files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        array = self._mapped()
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, box: Any) -> np.ndarray:
        return self._mapped()[box]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._mapped(), dtype)

    def _mapped(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array for `OnDisk`, complete or not at all."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # numpy adds .npy to a name that lacks it
            np.save(file, np.ascontiguousarray(array))

    atomically(path, write)
