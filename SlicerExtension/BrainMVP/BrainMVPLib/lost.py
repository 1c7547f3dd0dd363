"""What of a segmentation would be missing in its label map: drawn beyond a volume, or between its slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from . import scene as ops
from .errors import ModuleError
from .measure import voxel_ml


def check_nothing_is_lost(
    drawn: list[tuple[Any, int]], labels: np.ndarray | None, reference: Any, name: str
) -> None:
    """Raise `ModuleError` if a label map on the grid of the reference would lack a voxel's worth of what was drawn.

    Beyond the grid everything counts, between its voxels the largest connected piece: smaller ones no grid can hold.
    drawn: the image of each segment and its number there, those that win last; labels: (Z, Y, X), each segment's place
    in `drawn` plus 1; None where the segments lie on the reference's voxels. name: of the segmentation.
    """
    grid = ops.affine(reference)
    shape = np.array(reference.GetImageData().GetDimensions())
    for place, (image, number) in enumerate(drawn, 1):
        if image is None or image.IsEmpty() or (labels is None and _lies_within(image.GetExtent(), shape)):
            continue
        own, voxels = place_of(image), _voxels_of(image, number)
        points = np.rint((np.linalg.inv(grid) @ own @ voxels)[:3]).astype(int)
        outside = ((points < 0) | (points >= shape[:, None])).any(0)
        lost = np.count_nonzero(outside)
        if labels is not None:
            x, y, z = points[:, ~outside]
            missed = ~_with_neighbours(labels >= place)[z, y, x]
            lost += _largest_piece(voxels[:3, ~outside][:, missed].astype(int))
        millilitres = lost * voxel_ml(own)
        if lost and millilitres > 0.999 * voxel_ml(grid):
            amount = f"{millilitres:.2g}" if millilitres < 10 else f"{millilitres:.0f}"
            raise ModuleError(
                f"{amount} mL of {name} would be lost: they lie outside {reference.GetName()}, whose voxels its label "
                "has to have, or between its slices. Erase them there, or save the scene to keep them."
            )


def _lies_within(extent: tuple[int, ...], shape: np.ndarray) -> bool:
    return min(extent[::2]) >= 0 and all(last < size for last, size in zip(extent[1::2], shape))


def place_of(image: Any) -> np.ndarray:
    """Return where an oriented image's voxels lie, (4, 4) index (x, y, z) to mm."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return ops.array_of(matrix)


def _voxels_of(image: Any, number: int) -> np.ndarray:
    """Return the indices (x, y, z, 1) of the voxels of a segment, (4, N)."""
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(
        image.GetDimensions()[::-1]
    )
    found = np.array(np.nonzero(voxels == number)[::-1]) + np.array(image.GetExtent()[::2])[:, None]
    return np.vstack([found, np.ones(found.shape[1])])


def _with_neighbours(mask: np.ndarray) -> np.ndarray:
    """Return a mask (Z, Y, X) with the voxels that touch it: where a grid's voxels fall is chance."""
    for axis in range(3):
        wider, before, after = mask.copy(), [slice(None)] * 3, [slice(None)] * 3
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        wider[tuple(before)] |= mask[tuple(after)]
        wider[tuple(after)] |= mask[tuple(before)]
        mask = wider
    return mask


def _largest_piece(voxels: np.ndarray) -> int:
    """Return how many voxels the largest connected piece of them has; voxels: indices (x, y, z), (3, N)."""
    if not voxels.size:
        return 0
    first = voxels.min(1)
    size = voxels.max(1) - first + 1
    mask = np.zeros(size[::-1], np.uint8)
    mask[tuple((voxels - first[:, None])[::-1])] = 1
    image, pieces = vtk.vtkImageData(), vtk.vtkImageConnectivityFilter()
    image.SetDimensions(size.tolist())
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(mask.ravel(), deep=True))
    pieces.SetInputData(image)
    pieces.SetScalarRange(1, 1)
    pieces.SetExtractionModeToLargestRegion()
    pieces.Update()
    return pieces.GetExtractedRegionSizes().GetValue(0)
