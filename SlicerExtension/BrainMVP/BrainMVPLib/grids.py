"""The order of a volume's voxels in its file, and in the scene.

Slicer turns left-handed files (many NIfTI files are) into right-handed volumes by reversing an axis. A label that goes
to the server has to be in the file's order again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import ModuleError

# How far two descriptions of one grid may be apart at its far end: NIfTI keeps seven digits.
_VOXELS = 0.02
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def file_affine(path: Path) -> np.ndarray:
    """Return where a file's voxels lie, (4, 4) index to RAS mm, from its header alone."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ModuleError(
            f"{path.name} cannot be read any more; open the study again.", str(error)
        ) from error
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection()[:9], (3, 3)) * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return _LPS_TO_RAS @ affine


def reorder(labels: np.ndarray, affine: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return labels (Z, Y, X) in the voxel order of another affine of the same grid.

    Raises `ModuleError` if the two are not the same grid up to the order and direction of the axes.
    """
    step = np.linalg.inv(wanted[:3, :3]) @ affine[:3, :3]
    turn = np.round(step)
    if (
        np.abs(step - turn).max() * max(labels.shape) > _VOXELS
        or (np.abs(turn).sum(0) != 1).any()
        or (np.abs(turn).sum(1) != 1).any()
    ):
        raise ModuleError(
            "The segmentation's grid is not that of the file at the server; open the study again."
        )
    xyz = labels.transpose(2, 1, 0)
    ordered = xyz.transpose([int(np.argmax(np.abs(turn[row]))) for row in range(3)])
    flipped = [row for row in range(3) if turn[row].sum() < 0]
    result = np.flip(ordered, flipped)
    first = [result.shape[row] - 1 if row in flipped else 0 for row in range(3)]
    origin = np.linalg.inv(wanted) @ affine[:, 3]
    if np.abs(origin[:3] - first).max() > _VOXELS:
        raise ModuleError(
            "The segmentation's grid is not that of the file at the server; open the study again."
        )
    return np.ascontiguousarray(result.transpose(2, 1, 0))
