"""Coarse copies of an image, cheap enough to try many transforms on."""

import numpy as np
import SimpleITK as sitk

from brainmvp.foreground import clean, foreground
from brainmvp.spatial import extent
from brainmvp.volume import Volume


def reduced(volume: Volume, spacing: float) -> Volume:
    """Return the image averaged over blocks of voxels, to about `spacing` mm per axis; float32.

    Axes that are as coarse already, such as thick slices, stay as they are.
    """
    factor = np.clip(np.rint(spacing / volume.spacing), 1, np.array(volume.shape) // 2).astype(int)
    data = volume.data
    if data.dtype.itemsize > 4 or not data.dtype.isnative:
        data = data.astype(np.float32)
    image = sitk.GetImageFromArray(data.transpose(2, 1, 0))
    data = sitk.GetArrayFromImage(sitk.BinShrink(image, factor.tolist())).transpose(2, 1, 0)
    affine = volume.affine @ np.diag([*factor, 1.0])
    affine[:3, 3] += volume.affine[:3, :3] @ ((factor - 1) / 2)
    return Volume(np.asarray(data, np.float32), affine, volume.path)


def head_box(volume: Volume) -> Volume:
    """Return the part of an image that holds the head, with two voxels around it."""
    box = [slice(max(low - 2, 0), high + 3) for low, high in extent(clean(foreground(volume)))]
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, :3] @ [part.start for part in box]
    return Volume(volume.data[tuple(box)], affine, volume.path)
