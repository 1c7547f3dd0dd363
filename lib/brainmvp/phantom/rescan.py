"""Scan a made-up head as a scanner would: moved, on a grid of its own, in thick slices; and measure what that did."""

import numpy as np

from brainmvp.registration.motion import rigid
from brainmvp.spatial import Grid, middle_of, resample, resample_mask
from brainmvp.volume import Volume


def random_motion(rng: np.random.Generator) -> np.ndarray:
    """Return a motion (4, 4) of at most 20 mm and 15 degrees, in any direction."""
    axis, direction = rng.standard_normal((2, 3))
    turn = rng.uniform(0, 15) * axis / np.linalg.norm(axis)
    return rigid(rng.uniform(0, 20) * direction / np.linalg.norm(direction), turn, np.zeros(3))


def scan(
    head: Volume,
    spacing: tuple[float, float, float],
    motion: np.ndarray | None = None,
    part: slice = slice(None),
) -> Volume:
    """Return the head on a slightly oblique grid of this spacing after a motion (4, 4); part: of the slices."""
    shape = np.ceil(np.array(head.shape) * head.spacing / spacing).astype(int)
    affine = rigid(np.zeros(3), np.array([4.0, -2.0, 3.0]), np.zeros(3))
    affine[:3, :3] *= spacing
    affine[:3, 3] = middle_of(head) - affine[:3, :3] @ ((shape - 1) / 2)
    back = None if motion is None else np.linalg.inv(motion)
    data = resample(head, Grid(tuple(shape.tolist()), affine), back)[:, :, part]
    affine[:3, 3] += affine[:3, 2] * (part.start or 0)
    return Volume(data, affine)


def scanned_mask(mask: Volume, image: Volume, motion: np.ndarray) -> np.ndarray:
    """Return where a head's mask lies in an image that `scan` made of it after a motion, (X, Y, Z) bool."""
    return resample_mask(mask.data, mask.affine, Grid(image.shape, image.affine), np.linalg.inv(motion))


def errors_mm(found: np.ndarray, true: np.ndarray, brain: Volume) -> np.ndarray:
    """Return how far from its true place each of some thousand points of the brain was put, mm."""
    index = np.argwhere(brain.data)[::97]
    points = brain.affine @ np.c_[index, np.ones(len(index))].T
    return np.linalg.norm(((found - true) @ points)[:3], axis=0)
