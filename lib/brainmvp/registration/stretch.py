"""Whether one head would have to be stretched to become the other: then they are two people's."""

import numpy as np
import SimpleITK as sitk

from brainmvp.registration.rigid import climb, comparable, to_euler, to_world
from brainmvp.registration.similarity import Similarity
from brainmvp.volume import Volume

_SPACING = 4.0  # mm
# A climb that ends this much lower (normalised mutual information) has lost its way and says nothing. Seen from starts
# that fit perfectly, where every step leads down: 1.265 became 1.045.
_LOST = 0.05
_TRIES = 3


def stretch(moving: Volume, fixed: Volume, world: np.ndarray, seed: int = 0) -> float:
    """Return by which share a direction grows or shrinks at most where an affine transform goes on from a rigid one.

    world: (4, 4) rigid, from the world of `fixed` to the world of `moving`, mm.
    """
    moving, fixed = comparable(moving, fixed), comparable(fixed, moving)
    start, fit = to_euler(world, fixed), Similarity(fixed, moving, _SPACING, seed)
    for draw in range(seed, seed + _TRIES):
        transform = sitk.AffineTransform(start.GetMatrix(), start.GetTranslation(), start.GetCenter())
        climb(moving, fixed, transform, _SPACING, draw)
        if fit(to_world(transform)) > fit(world) - _LOST:
            break
    sizes = np.linalg.svd(np.array(transform.GetMatrix()).reshape(3, 3), compute_uv=False)
    return float(np.abs(sizes - 1).max())
