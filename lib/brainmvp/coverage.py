"""How much of the head in one image another one was scanned over."""

import numpy as np

from brainmvp.brain import find_brain
from brainmvp.foreground import background_value, clean, foreground
from brainmvp.spatial import extent
from brainmvp.volume import Volume

# With this share all counts as there: fields of view differ by a slice, alignments by a millimetre.
ENOUGH = 0.95
# With this share of the head in view, no more than a sliver of the brain can be missing.
_WHOLE_HEAD = 0.99
# So many voxels tell a share.
_VOXELS = 50_000


def share_inside(mask: Volume, other: Volume, world: np.ndarray) -> float:
    """Return the share of a mask (X, Y, Z) bool that lies where another image was scanned; 1 where it is empty.

    world: (4, 4), from the mask's world to the image's, mm.
    """
    index = np.argwhere(mask.data)
    if not len(index):
        return 1.0
    index = index[:: max(len(index) // _VOXELS, 1)]
    to_other = np.linalg.inv(other.affine) @ world @ mask.affine
    places = index @ to_other[:3, :3].T + to_other[:3, 3]
    low, high = np.array(_scanned(other)).T
    return float(((places > low - 0.5) & (places < high + 0.5)).all(1).mean())


def brain_inside(image: Volume, other: Volume, world: np.ndarray, brain: np.ndarray | None = None) -> float:
    """Return the share of the brain in an image that lies where another one was scanned.

    world: (4, 4), from the image's world to the other's, mm; brain: (X, Y, Z) bool on the image's grid; None: it is
    looked for where the other lacks a part of the head, which may be the neck.
    """
    if brain is None:
        head = share_inside(Volume(clean(foreground(image)), image.affine), other, world)
        if head >= _WHOLE_HEAD:
            return head
        brain = find_brain(image).mask
    return share_inside(Volume(brain, image.affine), other, world)


def _scanned(image: Volume) -> list[tuple[int, int]]:
    """Return the first and last voxel along each axis that was scanned: what lies beyond is filled with one value."""
    if background_value(image.data) is None:
        return [(0, size - 1) for size in image.shape]
    return extent(clean(foreground(image)))
