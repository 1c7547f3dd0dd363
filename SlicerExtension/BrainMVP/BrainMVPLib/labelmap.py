"""A label map on the grid of a volume in the scene, read and looked at by a thread to spare the main one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import ModuleError
from .grids import file_affine, reorder


@dataclass(frozen=True)
class Labelmap:
    """voxels: (Z, Y, X) uint8; counts: voxels of each value, 256 of them; box: the smallest that holds all labels."""

    voxels: np.ndarray
    counts: np.ndarray
    box: tuple[slice, slice, slice] | None

    @classmethod
    def of(cls, voxels: np.ndarray) -> Labelmap:
        """Return the label map of voxels (Z, Y, X) uint8."""
        columns = np.zeros(voxels.shape[1:], bool)
        filled = []
        for number, plane in enumerate(voxels):  # plane by plane, see `count`
            if plane.any():
                filled.append(number)
                columns |= plane > 0
        y, x = np.flatnonzero(columns.any(1)), np.flatnonzero(columns.any(0))
        box = tuple(slice(int(a[0]), int(a[-1]) + 1) for a in (filled, y, x)) if filled else None
        return cls(voxels, count(voxels), box)

    @property
    def values(self) -> list[int]:
        """The values that occur, without 0."""
        return [int(value) for value in np.flatnonzero(self.counts) if value]


def count(voxels: np.ndarray) -> np.ndarray:
    """Return how many voxels have each value 0…255; plane by plane, for NumPy holds Python's lock meanwhile."""
    return sum((np.bincount(plane.ravel(), minlength=256) for plane in voxels), np.zeros(256, np.int64))


def read_labelmap(
    path: Path, affine: np.ndarray, shape: tuple[int, ...], source: str, reference: str
) -> Labelmap:
    """Return a file's label map on the grid of a volume: `affine` (4, 4) and `shape` (Z, Y, X).

    Raises `ModuleError`, naming `source` and `reference`, if the file is damaged, lies on another grid, or holds what
    are no label values.
    """
    try:
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise ModuleError(f"{source} cannot be read; it came damaged, try again.", str(error)) from error
    try:
        ordered = reorder(stored, file_affine(path), affine)
    except (ModuleError, ValueError):
        ordered = None
    if ordered is None or ordered.shape != shape:
        came, wanted = ("x".join(map(str, sizes[::-1])) for sizes in (stored.shape, shape))
        raise ModuleError(
            f"{source} does not lie on the grid of {reference} ({came} against {wanted} voxels, or another place); "
            "nothing was changed. Send the study again, or ask whoever runs the server."
        )
    voxels = ordered.astype(np.uint8)
    if ordered.dtype != np.uint8 and (voxels != ordered).any():
        raise ModuleError(
            f"{source} holds values that are no labels; nothing was changed. Choose another model."
        )
    return Labelmap.of(voxels)
