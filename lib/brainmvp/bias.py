"""Even out what the receiving coils make brighter: scans as they come are not corrected, research data are."""

import numpy as np
import SimpleITK as sitk

from brainmvp.registration.rigid import one_thread
from brainmvp.volume import Volume, to_itk

# The field changes over centimetres: it is found on voxels of about this size, mm.
_COARSE_MM = 6.0
_ITERATIONS = (30, 30, 30)
_SURE = 0.9  # share of a coarse voxel that has to be brain


def evened(image: np.ndarray, brain: np.ndarray, spacing: float) -> np.ndarray:
    """Return an image (X, Y, Z) float32 without its bias field, by N4 (Tustison et al., IEEE TMI 2010) in the brain.

    brain: (X, Y, Z) bool; spacing: of the isotropic voxels, mm. An image without brain comes back as it is.
    """
    affine = np.diag([spacing, spacing, spacing, 1.0])
    step = [max(round(_COARSE_MM / spacing), 1)] * 3
    whole = to_itk(Volume(np.clip(image, 0, None), affine))
    inside = sitk.BinShrink(to_itk(Volume(brain.astype(np.float32), affine)), step) > _SURE
    if not sitk.GetArrayViewFromImage(inside).any():
        return image
    coarse = sitk.BinShrink(whole, step)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    with one_thread():  # several would sum in any order
        n4.Execute(coarse, inside)
    resampling = sitk.ResampleImageFilter()
    resampling.SetReferenceImage(whole)
    resampling.UseNearestNeighborExtrapolatorOn()  # the last coarse voxels end before the image does
    log_field = resampling.Execute(n4.GetLogBiasFieldAsImage(coarse))
    return image * np.exp(-sitk.GetArrayViewFromImage(log_field).transpose(2, 1, 0)).astype(np.float32)
