"""Label maps on the grid of a network: where their images show what they mark, and no smaller."""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from brainmvp.spatial import Grid, put_back, resample_labels
from brainmvp.tasks import Task
from brainmvp.volume import Volume

# Half of a voxel; what rounding takes from it must not tell one side of a lesion from the other.
_HALF = 0.499
# Linear sampling rounds small lesions off. One of which it leaves less than this is better by nearest voxel: so
# ellipsoids with radii of 1.5 to 10 mm went to grids of 1 and 2 mm and back no worse than by that, large ones better.
_KEPT = 0.9
_TOUCHING = np.ones((3, 3, 3), bool)


def labels_on(grid: Grid, label: Volume, task: Task) -> np.ndarray:
    """Return a label map (X, Y, Z) uint8 with the task's values on another grid, (x, y, z) uint8, zero outside.

    The nearest voxel shifts everything by up to half a voxel of the label, and to the same side in every study where
    the points of the grid lie between two of its voxels. So a voxel is in a region if half of it is, by linear
    sampling, except for small lesions. Tissues, whose thin sheets that would wear away, are by nearest voxel.
    """
    nearest = resample_labels(label.data, label.affine, grid)
    if not task.nested:
        return nearest
    found = {}
    near = task.regions_of(nearest)
    for name, mask in task.regions_of(label.data).items():
        share = put_back(mask[None], Grid(label.shape, label.affine), grid)[0]
        found[name] = _by_lesion(share >= _HALF, near[name])
    for inner, outer in pairwise(reversed(found)):
        found[outer] |= found[inner]
    return task.labels_of(found)


def _by_lesion(linear: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Return the linear mask, but the nearest voxels of each lesion that it keeps too little of."""
    lesions, count = ndimage.label(linear | nearest, _TOUCHING)
    of_linear, of_nearest = (np.bincount(lesions[mask], minlength=count + 1) for mask in (linear, nearest))
    return np.where((of_linear >= _KEPT * of_nearest)[lesions], linear, nearest)
