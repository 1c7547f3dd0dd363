"""What the MNI152 brain says about the shape of this one: a face is no brain, however it looks."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.special import expit

from brainmvp.registration.rigid import one_thread, to_world
from brainmvp.spatial import Grid, resample
from brainmvp.volume import LPS_TO_RAS, Volume, read_volume, to_itk

_SPACING = 4.0
_MARGIN = 12  # voxels around the atlas, as far as distances are known
# Individual brains leave the fitted atlas by this much freely, mm; beyond, every further millimetre costs one logit.
_FREE_MM = 5.0


def penalty(logits: np.ndarray, seen: np.ndarray, grid: Grid) -> np.ndarray:
    """Return what to take off the logits (X, Y, Z) of a brain, by the distance to the atlas laid onto them.

    seen: (X, Y, Z) bool, what was scanned: elsewhere the brain may well go on.
    """
    inside, distance = _atlas()
    probability = Volume(expit(logits).astype(np.float32), grid.affine)
    world = _fit(probability, seen, inside)
    reach = resample(Volume(np.ones_like(distance.data), distance.affine), grid, world)
    far = resample(distance, grid, world) + distance.data.max() * (
        1 - reach
    )  # beyond the atlas' box is far away
    return np.clip(far - _FREE_MM, 0, None)


@lru_cache(maxsize=1)
def _atlas() -> tuple[Volume, Volume]:
    """Return the brain of the ICBM 2009a average (Fonov et al., NeuroImage 2011), 0…1, and the distance to it, mm."""
    import nilearn

    folder = Path(nilearn.__file__).parent / "datasets" / "data"
    t1 = read_volume(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
    shape = tuple(int(n / _SPACING) + 2 * _MARGIN for n in t1.shape)
    affine = np.diag([_SPACING, _SPACING, _SPACING, 1.0])
    affine[:3, 3] = t1.affine[:3, 3] - _SPACING * _MARGIN
    grid = Grid(shape, affine)
    brain = resample(Volume((t1.data > 0).astype(np.float32), t1.affine), grid)
    outside = ndimage.distance_transform_edt(brain < 0.5, _SPACING).astype(np.float32)
    return Volume(brain, affine), Volume(outside, affine)


def _fit(probability: Volume, seen: np.ndarray, atlas: Volume) -> np.ndarray:
    """Return the rigid transform with one scale (4, 4) from the image's world to the atlas', by least squares."""
    middle = [
        v.affine[:3, :3] @ ndimage.center_of_mass(v.data) + v.affine[:3, 3] for v in (probability, atlas)
    ]
    transform = sitk.Similarity3DTransform()
    transform.SetCenter((LPS_TO_RAS[:3, :3] @ middle[0]).tolist())
    transform.SetTranslation((LPS_TO_RAS[:3, :3] @ (middle[1] - middle[0])).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricFixedMask(to_itk(Volume(seen.astype(np.uint8), probability.affine)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 60, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    with one_thread():
        method.Execute(to_itk(probability), to_itk(atlas))
    return to_world(transform)
