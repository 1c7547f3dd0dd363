"""What masks of a network are tidied by, before they become labels."""

import numpy as np
from scipy import ndimage

from brainmvp.spatial import extent, extent_or_all

# Gaps in an enhancing rim up to about twice this are closed before what it encloses is filled.
_GAP_MM = 4.0
# Of a film around the rim: half its thickness. No thicker than a voxel of the working grid, it is where the rim fades;
# chosen on 16 phantoms, of 0.6, 1, 1.5 and 2.
_FILM_MM = 1.0
_LARGEST_FILM_MM = 1.5


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
    box = _around(mask, margin)
    part = np.pad(mask[box], [(m, m) for m in margin])  # the image's edge closes nothing
    near = ndimage.distance_transform_edt(~part, sampling=spacing) <= _GAP_MM
    closed = ndimage.distance_transform_edt(near, sampling=spacing) > _GAP_MM
    outside, _ = ndimage.label(~closed)
    filled = (outside != outside[0, 0, 0])[tuple(slice(m, -m) for m in margin)]
    result = mask.copy()
    result[box] |= filled
    return result


def without_film(mask: np.ndarray, rim: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return a mask (X, Y, Z) without the thin film around the rim inside it; spacing: mm along each axis.

    Where an enhancing rim fades outwards, the core may still be likely enough and the rim no more: the film between
    both would count as necrosis around the rim. What the rim encloses, or is thicker, stays; so does all where voxels
    are too large to tell.
    """
    rest = mask & ~rim
    # Of a voxel at least: a film is not thinner. Affines in single precision make a millimetre a little more.
    radius = max(_FILM_MM, spacing.min()) + 1e-3
    if radius > _LARGEST_FILM_MM or not rim.any() or not rest.any():
        return mask
    box = _around(mask, np.ceil(2 * radius / spacing).astype(int) + 1)

    def near(part: np.ndarray, mm: float) -> np.ndarray:
        return ndimage.distance_transform_edt(~part, sampling=spacing) <= mm if part.any() else part

    part, outside = rest[box], ~mask[box]
    thick = near(~near(~part, radius), radius)
    film = part & ~thick & near(outside, 2 * radius) & near(rim[box], 2 * radius)
    result = mask.copy()
    result[box] &= ~ndimage.binary_propagation(film & ndimage.binary_dilation(outside), mask=film)
    return result


def _around(mask: np.ndarray, margin: np.ndarray) -> tuple[slice, ...]:
    """Return the box of a mask that is not empty, and a margin of so many voxels as far as the image goes."""
    return tuple(
        slice(max(low - m, 0), high + m + 1) for (low, high), m in zip(extent(mask), margin, strict=True)
    )
