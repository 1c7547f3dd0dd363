"""Rigid registration by mutual information, from coarse to fine, with SimpleITK."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from brainmvp.foreground import clean, foreground
from brainmvp.registration.reduce import head_box, reduced
from brainmvp.registration.similarity import Similarity
from brainmvp.spatial import ras_grid, resample
from brainmvp.volume import LPS_TO_RAS, Volume, to_itk

# Voxel sizes of the levels, mm: the first sees over 20 mm, the last is fine enough for a tenth of its size.
_LEVELS = (8.0, 4.0, 2.0)
_BINS = 32
_POINTS = 40_000  # per level, at most
_LEAST_OVERLAP = 0.05  # of the head, where a climb can start
_SAME_AXIS = 0.8  # cosine: axes within 37° of each other count as the same
_ITK_SETTING = threading.Lock()


class NoOverlapError(ValueError):
    """Two images have no part in common from which ITK could climb."""


def register(moving: Volume, fixed: Volume, seed: int = 0) -> np.ndarray:
    """Return the rigid transform (4, 4) from the world of `fixed` to the world of `moving`, RAS mm.

    It starts from the headers, where these let the heads overlap, and from the centres of the heads, and keeps what
    fits better on the coarsest level. Same seed, same result: the points are drawn from the seed, and one thread sums
    them. Raises `NoOverlapError` where a climb leaves the moving image.
    """
    moving, fixed = comparable(moving, fixed), comparable(fixed, moving)
    shift = np.eye(4)
    shift[:3, 3] = _centre(moving) - _centre(fixed)
    fit = Similarity(fixed, moving, _LEVELS[0], seed)
    starts = [shift] if fit.overlap(np.eye(4)) < _LEAST_OVERLAP else [np.eye(4), shift]
    world = max((_descend(moving, fixed, start, _LEVELS[:1], seed) for start in starts), key=fit)
    return _descend(moving, fixed, world, _LEVELS[1:], seed)


def refine(moving: Volume, fixed: Volume, start: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return where the two coarse levels alone end from a start (4, 4): quick, and true to a millimetre or two."""
    return _descend(comparable(moving, fixed), comparable(fixed, moving), start, _LEVELS[:2], seed)


def _descend(
    moving: Volume, fixed: Volume, world: np.ndarray, levels: tuple[float, ...], seed: int
) -> np.ndarray:
    for spacing in levels:
        transform = to_euler(world, fixed)
        climb(moving, fixed, transform, spacing, seed)
        world = to_world(transform)
    return world


def climb(moving: Volume, fixed: Volume, transform: sitk.Transform, spacing: float, seed: int) -> None:
    """Change a transform in place by climbing Mattes' mutual information (Mattes et al., IEEE TMI 2003) by gradient.

    spacing: of the voxels that both are averaged to, mm. Raises `NoOverlapError`.
    """
    target, image = head_box(reduced(fixed, spacing)), reduced(moving, spacing)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, _POINTS / target.data.size), seed + 1)
    # The default takes gradients of a smoothed copy, which on thick slices is another image.
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=spacing / 2, minStep=0.01, numberOfIterations=100, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    with one_thread():
        try:
            method.Execute(to_itk(target), to_itk(image))
        except RuntimeError as error:
            raise NoOverlapError from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Let ITK add up in one order while the block runs. The filter's own setting does not reach all of its parts."""
    with _ITK_SETTING:
        before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def comparable(volume: Volume, other: Volume) -> Volume:
    """Return an image with orthogonal axes, as blurred along the other's thick slices as the other is.

    Otherwise each detail that one of the two cannot show pulls the transform towards where slices happen to lie.
    """
    directions = volume.affine[:3, :3] / volume.spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > 1e-3:  # ITK knows no sheared axes
        grid = ras_grid(np.ones(volume.shape, bool), volume.affine, float(volume.spacing.min()), 0.0)
        volume = Volume(resample(volume, grid), grid.affine, volume.path)
        directions = np.eye(3)
    along = np.abs(directions.T @ (other.affine[:3, :3] / other.spacing)) > _SAME_AXIS
    thickness = np.where(along, other.spacing, 0).max(1)
    # A box of this width has this standard deviation.
    sigma = np.sqrt(np.clip(thickness**2 - volume.spacing**2, 0, None) / 12) / volume.spacing
    if sigma.max() < 0.5:
        return volume
    data = ndimage.gaussian_filter(np.asarray(volume.data, np.float32), sigma, mode="nearest")
    return Volume(data, volume.affine, volume.path)


def _centre(volume: Volume) -> np.ndarray:
    """Return the middle of the head, mm."""
    coarse = reduced(volume, _LEVELS[0])
    return coarse.affine[:3, :3] @ ndimage.center_of_mass(clean(foreground(coarse))) + coarse.affine[:3, 3]


def to_euler(world: np.ndarray, fixed: Volume) -> sitk.Euler3DTransform:
    """Return a motion (4, 4) of the RAS world as ITK has it, about the middle of the reference's head."""
    lps = LPS_TO_RAS @ world @ LPS_TO_RAS
    middle = LPS_TO_RAS[:3, :3] @ _centre(fixed)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(middle.tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), 1e-6)
    transform.SetTranslation((lps[:3, :3] @ middle + lps[:3, 3] - middle).tolist())
    return transform


def to_world(
    transform: sitk.Euler3DTransform | sitk.Similarity3DTransform | sitk.AffineTransform,
) -> np.ndarray:
    """Return a transform of ITK as a motion (4, 4) of the RAS world."""
    lps = np.eye(4)
    lps[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    middle = np.array(transform.GetCenter())
    lps[:3, 3] = middle + transform.GetTranslation() - lps[:3, :3] @ middle
    return LPS_TO_RAS @ lps @ LPS_TO_RAS
