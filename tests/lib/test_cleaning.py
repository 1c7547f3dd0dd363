"""Specks go, and what a rim encloses belongs to it, whatever the voxels' shape."""

import numpy as np
import pytest
from scipy import ndimage

from brainmvp.cleaning import fill_enclosed, without_film, without_specks


def shell(spacing, gap=0.0):
    """Return a shell of 9 to 12 mm with a hole of `gap` mm radius through it, and what it encloses."""
    shape = np.ceil(40 / np.array(spacing)).astype(int)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    hole = (np.hypot(x, y) < gap) & (z > 0)
    return (distance > 9) & (distance < 12) & ~hole, distance <= 9


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
@pytest.mark.parametrize("gap", [0.0, 2.5])
def test_what_a_rim_encloses_is_filled_also_through_a_gap(spacing, gap):
    rim, inside = shell(spacing, gap)
    filled = fill_enclosed(rim, np.array(spacing))
    assert filled[inside].all() and filled[rim].all()
    assert filled.sum() <= 1.1 * (rim | inside).sum()


def test_an_open_bowl_is_not_filled():
    rim, inside = shell((1.0, 1.0, 1.0), gap=8.0)
    assert fill_enclosed(rim, np.ones(3))[inside].mean() < 0.5


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (1.0000001, 1.0, 1.0), (1.2, 1.2, 1.2), (0.8, 0.8, 3.0)]
)
def test_a_film_around_a_rim_goes_and_what_the_rim_encloses_stays(spacing):
    rim, inside = shell(spacing)
    film = near(rim | inside, 1.25, spacing) & ~rim & ~inside
    assert film.any()
    assert np.array_equal(without_film(rim | inside | film, rim, np.array(spacing)), rim | inside)
    assert np.array_equal(without_film(rim | inside, rim, np.array(spacing)), rim | inside)


def test_a_core_that_is_thick_or_does_not_enhance_keeps_its_edge():
    rim, inside = shell((1.0, 1.0, 1.0))
    thick = near(rim | inside, 5.0, (1.0, 1.0, 1.0))
    assert without_film(thick, rim, np.ones(3))[thick].mean() > 0.99
    assert np.array_equal(without_film(thick, np.zeros_like(rim), np.ones(3)), thick)


def test_what_a_thin_rim_encloses_stays():
    inside = np.zeros((20, 20, 20), bool)
    inside[9:11, 9:11, 9:11] = True
    rim = near(inside, 1.8, (1.0, 1.0, 1.0)) & ~inside
    assert np.array_equal(without_film(rim | inside, rim, np.ones(3)), rim | inside)


def near(mask, mm, spacing):
    """Return the mask and what lies up to so many mm from it."""
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= mm


def test_two_lesions_side_by_side_stay_two():
    mask = np.zeros((40, 20, 20), bool)
    mask[5:12, 5:12, 5:12] = mask[24:31, 5:12, 5:12] = True
    assert np.array_equal(fill_enclosed(mask, np.ones(3)), mask)


def test_a_lesion_at_the_edge_of_the_image_and_none_at_all_stay_as_they_are():
    mask = np.zeros((12, 12, 12), bool)
    assert not fill_enclosed(mask, np.ones(3)).any()
    mask[:3, :3, :3] = True
    assert np.array_equal(fill_enclosed(mask, np.ones(3)), mask)


def test_specks_go_and_lesions_stay():
    mask = np.zeros((20, 20, 20), bool)
    mask[2, 2, 2] = mask[10:14, 10:14, 10:14] = True
    assert without_specks(mask, 8).sum() == 64
