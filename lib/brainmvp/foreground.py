"""Where the head is in an image."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume

# A skull-stripped image is filled with one value outside the brain; at least this share of its border voxels has it.
_STRIPPED_BORDER = 0.5


def background_value(data: np.ndarray) -> float | None:
    """Return the one value that fills the border of an image (X, Y, Z), or None if the border is noise.

    It is zero in most skull-stripped images, but not after z-scoring.
    """
    faces = (data[0], data[-1], data[:, 0], data[:, -1], data[:, :, 0], data[:, :, -1])
    border = np.concatenate([face.ravel() for face in faces])
    values, counts = np.unique(border, return_counts=True)
    most = counts.argmax()
    return float(values[most]) if counts[most] >= _STRIPPED_BORDER * border.size else None


def foreground(volume: Volume) -> np.ndarray:
    """Return where the image shows something, (X, Y, Z) bool.

    With a constant border (a stripped skull, or a masked background): what differs from it; with a noisy one: what
    lies above Otsu's threshold. Raises `BrainMVPError` if every voxel has the same value.
    """
    data = volume.data
    background = background_value(data)
    if background is not None:
        mask = data != background
    else:
        image = sitk.GetImageFromArray(np.asarray(data, np.float32).transpose(2, 1, 0))
        mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1)).transpose(2, 1, 0).astype(bool)
    if not mask.any():
        raise BrainMVPError(
            f"{volume.path or 'The image'} shows nothing: every voxel has the same value; export it again."
        )
    return mask


def clean(mask: np.ndarray) -> np.ndarray:
    """Return the largest component of a mask (X, Y, Z) with its holes filled."""
    mask = _largest_component(mask)
    outside, _ = ndimage.label(~np.pad(mask, 1))
    return (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]


def _largest_component(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()
