"""Whether one head would have to be stretched to become the other: then they are two people's."""

import numpy as np
import SimpleITK as sitk

from brainmvp.registration.rigid import climb, comparable, to_euler
from brainmvp.volume import Volume

_SPACING = 4.0  # mm


def stretch(moving: Volume, fixed: Volume, world: np.ndarray, seed: int = 0) -> float:
    """Return by which share a direction grows or shrinks at most where an affine transform goes on from a rigid one.

    world: (4, 4) rigid, from the world of `fixed` to the world of `moving`, mm.
    """
    moving, fixed = comparable(moving, fixed), comparable(fixed, moving)
    start = to_euler(world, fixed)
    transform = sitk.AffineTransform(start.GetMatrix(), start.GetTranslation(), start.GetCenter())
    climb(moving, fixed, transform, _SPACING, seed)
    sizes = np.linalg.svd(np.array(transform.GetMatrix()).reshape(3, 3), compute_uv=False)
    return float(np.abs(sizes - 1).max())
