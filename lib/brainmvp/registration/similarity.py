"""How well two images fit under a transform, whatever their contrasts."""

import numpy as np
from scipy import ndimage

from brainmvp.registration.motion import displacement_mm, rigid
from brainmvp.registration.reduce import head_box, reduced
from brainmvp.volume import Volume

_BINS = 32
_POINTS = 15_000
# What lies beyond these percentiles is vessels, fat and artefacts: it shares the outermost bins.
_RANGE = (1.0, 99.0)
# With less of the reference's head in view than this, a value says nothing.
_LEAST_OVERLAP = 0.25
# How far a probe goes, mm and degrees: within the peak, beyond its noise. Both move a head's surface about as far.
_PROBE = 3.0


class Similarity:
    """Normalised mutual information of two images as a function of the transform between their worlds.

    (H(a) + H(b)) / H(a, b) over points in the reference's head (Studholme et al., Pattern Recognition 1999): 1 for
    images that have nothing in common, 2 for the same image. The points lie between the voxels, drawn from a seed,
    so that no transform gains from hitting the grid.

    fixed: the reference; moving: the other image; spacing: both are averaged to voxels of about this size, mm.
    centre, radius: of the points, mm.
    """

    def __init__(self, fixed: Volume, moving: Volume, spacing: float = 4.0, seed: int = 0) -> None:
        fixed = head_box(reduced(fixed, spacing))
        index = np.random.default_rng(seed).uniform(0, np.array(fixed.shape) - 1, (_POINTS, 3)).T
        values = _interpolate(fixed.data, index)
        self._points = np.vstack([fixed.affine[:3, :3] @ index + fixed.affine[:3, 3:], np.ones(_POINTS)])
        self._fixed = _binned(values, values)
        self.centre = self._points[:3].mean(1)
        self.radius = float(np.sqrt((self._points[:3].var(1)).sum()))
        self._moving = reduced(moving, spacing)
        self._to_index = np.linalg.inv(self._moving.affine)
        self._levels = self._moving.data[self._moving.data != 0]

    def __call__(self, world: np.ndarray) -> float:
        """Return the value under a transform (4, 4) from the reference's world to the moving image's, mm.

        Points that the moving image does not cover do not count; with too few left the value is 1.
        """
        index, inside = self._seen(world)
        if inside.mean() < _LEAST_OVERLAP:
            return 1.0
        moving = _binned(_interpolate(self._moving.data, index[:, inside]), self._levels)
        joint = np.bincount(self._fixed[inside] * _BINS + moving, minlength=_BINS**2).reshape(_BINS, _BINS)
        return (_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / max(_entropy(joint.ravel()), 1e-9)

    def overlap(self, world: np.ndarray) -> float:
        """Return the share of the reference's head that the moving image covers, 0…1."""
        return float(self._seen(world)[1].mean())

    def distance_to_peak(self, world: np.ndarray) -> float:
        """Return about how far the head's surface is from where the images fit best, mm; infinite away from a peak.

        The value is probed on both sides of each of the six motions; a parabola through three values has its peak
        where this motion fits best.
        """
        here = self(world)
        best = np.zeros(6)
        for axis, step in enumerate(_PROBE * np.eye(6)):
            ahead, behind = (self(world @ rigid(s * step[:3], s * step[3:], self.centre)) for s in (1, -1))
            if here <= max(ahead, behind):
                return float("inf")
            best[axis] = _PROBE * (ahead - behind) / (2 * (2 * here - ahead - behind))
        return displacement_mm(rigid(best[:3], best[3:], self.centre), np.eye(4), self.centre, self.radius)

    def _seen(self, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index = (self._to_index @ world @ self._points)[:3]
        upper = np.array(self._moving.shape)[:, None] - 0.5
        return index, ((index > -0.5) & (index < upper)).all(0)


def _interpolate(image: np.ndarray, index: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(image, index, order=1, mode="nearest")


def _binned(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    low, high = np.percentile(levels, _RANGE) if levels.size else (0.0, 1.0)
    return np.clip((values - low) * (_BINS / max(high - low, 1e-9)), 0, _BINS - 1).astype(np.intp)


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
