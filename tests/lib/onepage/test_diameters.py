"""Diameters are what a ruler on the slice would give."""

import numpy as np
import pytest

from brainmvp.onepage.diameters import HOW_MEASURED, how_measured, measure
from brainmvp.volume import Volume


def _ellipsoid(radii_mm, spacing, turn=0.0, axes=(0, 1, 2)):
    """Return a mask of an ellipsoid; axes: which array axis runs along x, y and z."""
    shape = [int(110 / spacing[a]) for a in range(3)]
    index = np.stack(np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij"), -1)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for world, axis in enumerate(axes):
        affine[world, axis] = spacing[axis]
    x, y, z = np.moveaxis(index @ affine[:3, :3].T, -1, 0)
    c, s = np.cos(turn), np.sin(turn)
    x, y = c * x + s * y, c * y - s * x
    return Volume((x / radii_mm[0]) ** 2 + (y / radii_mm[1]) ** 2 + (z / radii_mm[2]) ** 2 < 1, affine)


@pytest.mark.parametrize("turn", [0.0, 0.5, 1.1])
@pytest.mark.parametrize(
    ("spacing", "axes"), [((1, 1, 1), (0, 1, 2)), ((0.5, 0.5, 5), (0, 1, 2)), ((5, 0.7, 0.7), (1, 2, 0))]
)
def test_an_ellipsoids_axes_are_found_on_axial_slices(spacing, axes, turn):
    longest, across = measure(_ellipsoid((25, 12, 40), spacing, turn, axes))
    # The long z axis is not in plane; half a voxel on either side is the outline's own uncertainty.
    assert longest == pytest.approx(50, abs=1.2) and across == pytest.approx(24, abs=1.5)


@pytest.mark.parametrize(("radii", "least"), [((20, 7.5), 12), ((10, 6), 10.5), ((5, 3), 4.8)])
def test_an_oblique_lesion_is_not_thin_on_long_pixels(radii, least):
    for turn in np.linspace(0, np.pi, 20):
        mask = _ellipsoid((*radii, 4), (6, 1, 1), turn)  # axial slices of a sagittal scan
        area = mask.data[:, :, mask.shape[2] // 2]
        longest, across = measure(Volume(np.stack([area, np.zeros_like(area)], 2), mask.affine))
        assert across == pytest.approx(2 * radii[1], abs=6) and across >= least
        assert longest == pytest.approx(2 * radii[0], abs=6)


def test_the_page_tells_how_sure_diameters_on_long_pixels_are():
    sagittal, axial = (Volume(np.zeros((2, 2, 2), bool), np.diag([*s, 1.0])) for s in ((6, 1, 1), (1, 1, 6)))
    assert how_measured(axial) == HOW_MEASURED
    assert how_measured(sagittal).endswith(
        " Pixels on them are 6 mm long here, and diameters may be off by as much."
    )


def test_two_lesions_are_not_measured_as_one():
    mask = _ellipsoid((10, 10, 10), (1, 1, 1))
    far = Volume(mask.data | np.roll(mask.data, 40, 0), mask.affine)
    assert measure(far)[0] == pytest.approx(20, abs=1.5)


def test_a_round_lesion_is_measured_and_not_a_thin_streak_beside_it():
    mask = _ellipsoid((12, 12, 12), (1, 1, 1))
    mask.data[5:65, 5:8, 40] = True  # 60 mm, but 3 mm thin
    assert measure(mask) == pytest.approx((24, 24), abs=1.5)


def test_nothing_has_no_diameter_and_a_voxel_has_its_own():
    empty = Volume(np.zeros((5, 5, 5), bool), np.eye(4))
    assert measure(empty) is None
    empty.data[2, 2, 2] = True
    assert measure(empty)[0] == pytest.approx(1.0)
