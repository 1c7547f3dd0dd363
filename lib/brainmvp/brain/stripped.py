"""Tell an image whose skull was removed from one that shows a whole head."""

import numpy as np
from scipy import ndimage

from brainmvp.foreground import background_value, clean
from brainmvp.volume import Volume

_COARSE_MM = 4.0
_LARGEST_BRAIN_ML = 2200.0
# Depths below the surface: of the scalp, of the skull, of the brain (mm).
_SCALP, _SKULL, _BRAIN = (0.0, 4.5), (6.0, 12.0), (18.0, np.inf)
_DARK = 0.6  # bone over the darker of its neighbours, at most


def is_stripped(volume: Volume) -> bool:
    """Tell whether an image shows nothing but a brain.

    Its border has one value; what differs from it is no larger than a brain, and no dark shell lies below its surface.
    """
    background = background_value(volume.data)
    if background is None:
        return False
    step = np.maximum(_COARSE_MM // volume.spacing, 1).astype(int)
    data = np.asarray(volume.data[tuple(slice(None, None, s) for s in step)], np.float32)
    mask = clean(data != background)
    if mask.sum() * volume.voxel_ml * step.prod() > _LARGEST_BRAIN_ML:
        return False
    depth = ndimage.distance_transform_edt(mask, volume.spacing * step)
    shells = [data[(depth > low) & (depth <= high)] for low, high in (_SCALP, _SKULL, _BRAIN)]
    if any(shell.size < 100 for shell in shells):
        return True
    scalp, skull, brain = (float(np.median(shell)) - background for shell in shells)
    return skull >= _DARK * min(scalp, brain)
