"""What masks of a network are tidied by, before they become labels."""

import numpy as np
from scipy import ndimage

from brainmvp.spatial import extent, extent_or_all

# Gaps in an enhancing rim up to about twice this are closed before what it encloses is filled.
_GAP_MM = 4.0


def without_specks(mask: np.ndarray, smallest: float) -> np.ndarray:
    """Return a mask (X, Y, Z) without the components of fewer than `smallest` voxels."""
    box = tuple(slice(low, high + 1) for low, high in extent_or_all(mask))
    components, _ = ndimage.label(mask[box])
    keep = np.bincount(components.ravel()) >= smallest
    keep[0] = False
    result = np.zeros_like(mask)
    result[box] = keep[components]
    return result


def fill_enclosed(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return a mask (X, Y, Z) with what it encloses; spacing: mm along each axis.

    A rim of enhancing tumour has gaps, so it is closed first, and the holes of what results are filled.
    """
    if not mask.any():
        return mask
    margin = np.ceil(_GAP_MM / spacing).astype(int) + 1
    box = tuple(
        slice(max(low - m, 0), high + m + 1) for (low, high), m in zip(extent(mask), margin, strict=True)
    )
    part = np.pad(mask[box], [(m, m) for m in margin])  # the image's edge closes nothing
    near = ndimage.distance_transform_edt(~part, sampling=spacing) <= _GAP_MM
    closed = ndimage.distance_transform_edt(near, sampling=spacing) > _GAP_MM
    outside, _ = ndimage.label(~closed)
    filled = (outside != outside[0, 0, 0])[tuple(slice(m, -m) for m in margin)]
    result = mask.copy()
    result[box] |= filled
    return result
