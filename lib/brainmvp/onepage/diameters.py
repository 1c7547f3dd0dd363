"""The longest diameter of a finding and the one across it, as radiologists measure them on axial slices."""

from math import prod

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from brainmvp.volume import Volume

HOW_MEASURED = (
    "Diameters by the software: the longest line across one connected area on one slice, from outline to outline, "
    "and the widest extent perpendicular to it, where their product is largest, on those slices of the grid that are "
    "nearest to axial."
)
# A line across the long diameter is looked for in strips this wide, of the pixel's shorter edge.
_STRIP = 1.0
# Diameters on pixels longer than this, of their width, are told to be uncertain.
_LONG_PIXEL = 3.0


def how_measured(volume: Volume) -> str:
    """Return how diameters on the grid of a volume come about, and how sure they are where its slices are thick."""
    short, long = sorted(_pixel(volume))
    if long <= _LONG_PIXEL * short:
        return HOW_MEASURED
    return f"{HOW_MEASURED} Pixels on them are {long:.2g} mm long here, and diameters may be off by as much."


def measure(mask: Volume) -> tuple[float, float] | None:
    """Return the longest diameter of a mask (X, Y, Z) bool and the one across it, mm; None where it is empty.

    As the response assessment in neuro-oncology measures what enhances (Wen et al., J Clin Oncol 2010): in plane,
    perpendicular, of one connected area, where their product is largest. The outline runs halfway between voxels inside
    and outside.
    """
    axis, spacing = _through(mask), _pixel(mask)
    pairs = []
    for index in np.flatnonzero(mask.data.any(axis=tuple({0, 1, 2} - {axis}))):
        areas, _ = ndimage.label(np.take(mask.data, index, axis))
        boxes = ndimage.find_objects(areas)
        pairs += [_of_area(areas[box] == area, spacing) for area, box in enumerate(boxes, 1)]
    return max(pairs, key=prod, default=None)


def _through(volume: Volume) -> int:
    """Return the array axis that runs along the body most."""
    return int(np.abs(volume.affine[2, :3] / volume.spacing).argmax())


def _pixel(volume: Volume) -> np.ndarray:
    """Return the edges of a pixel of the slices that are nearest to axial, (2,) mm."""
    return np.delete(volume.spacing, _through(volume))


def _of_area(area: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    # Long pixels are cut to about squares: their outline has too few points for a strip to meet both of its sides.
    parts = np.rint(spacing / spacing.min()).astype(int)
    spacing = spacing / parts
    outline = _outline(area.repeat(parts[0], 0).repeat(parts[1], 1)) * spacing
    hull = outline[_hull(outline)]
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=-1)
    first, last = np.unravel_index(apart.argmax(), apart.shape)
    longest = float(apart.max())
    along = (hull[last] - hull[first]) / longest
    strip = np.rint(outline @ along / (_STRIP * spacing.min())).astype(int)
    height = outline @ np.array([-along[1], along[0]])
    across = max(float(np.ptp(height[strip == number])) for number in np.unique(strip))
    return longest, across


def _outline(area: np.ndarray) -> np.ndarray:
    """Return the points (N, 2) halfway between neighbours of which one is inside, in voxels."""
    area = np.pad(area, 1)
    points = []
    for axis in (0, 1):
        index = np.argwhere(np.diff(area.astype(np.int8), axis=axis)).astype(float)
        index[:, axis] += 0.5
        points.append(index - 1)
    return np.concatenate(points)


def _hull(points: np.ndarray) -> np.ndarray:
    try:
        return ConvexHull(points).vertices
    except QhullError:
        return np.arange(len(points))
