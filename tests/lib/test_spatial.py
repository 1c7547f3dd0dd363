"""What lies at a place of the world stays there, on whatever grid."""

import numpy as np
import pytest
from heads import centre_of, oblique

from brainmvp.spatial import Grid, covered_box, put_back, ras_grid, resample, resample_mask
from brainmvp.volume import Volume


def world_of(shape, affine):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def plane(world):
    """Return a field that is linear in the world: linear resampling must reproduce it exactly."""
    return (world @ np.array([0.7, -1.3, 2.1]) + 300).astype(np.float32)


SHEARED = np.array([[1, 0, 0.4, 3], [0, 1.2, 0, -5], [0, 0.1, 2.0, 9], [0, 0, 0, 1.0]])
AFFINES = [
    oblique((1, 1, 1), "RAS"),
    oblique((0.9, 1.1, 3), "LPS"),
    oblique((1.2, 0.8, 1), "LAS", -30),
    SHEARED,
]


@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_a_linear_field_is_reproduced_on_any_grid(affine, spacing):
    shape = (40, 40, 24)
    volume = Volume(plane(world_of(shape, affine)), affine)
    grid = Grid((8, 8, 8), np.diag([spacing, spacing, spacing, 1.0]))
    grid.affine[:3, 3] = centre_of(shape, affine) - 3.5 * spacing
    np.testing.assert_allclose(resample(volume, grid), plane(world_of(grid.shape, grid.affine)), atol=2e-2)


@pytest.mark.parametrize("affine", AFFINES)
def test_a_mask_goes_to_the_working_grid_and_back_to_itself(affine):
    shape = (30, 34, 26)
    distance = np.linalg.norm(world_of(shape, affine) - centre_of(shape, affine), axis=-1)
    mask = distance < 9
    grid = ras_grid(mask, affine, 1.0)
    inside = resample(Volume(mask.astype(np.float32), affine), grid)
    back = put_back(inside[None], grid, Grid(shape, affine))[0] > 0.5
    dice = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert dice > 0.93


def test_the_working_grid_covers_the_mask_with_its_margin():
    affine = oblique((1.5, 1, 2), "LPS")
    mask = np.zeros((20, 20, 20), bool)
    mask[3:15, 4:9, 10:18] = True
    grid = ras_grid(mask, affine, 2.0, margin_mm=4)
    marked = world_of(mask.shape, affine)[mask]
    index = (marked - grid.affine[:3, 3]) / 2.0
    assert index.min() >= 1.5 and (index.max(0) <= np.array(grid.shape) - 2.5).all()


def test_downsampling_averages_instead_of_picking():
    stripes = np.zeros((64, 16, 16), np.float32)
    stripes[::2] = 1
    grid = Grid((12, 4, 4), np.diag([4.0, 4.0, 4.0, 1.0]))
    grid.affine[:3, 3] = 2
    values = resample(Volume(stripes, np.eye(4)), grid)
    assert abs(values - 0.5).max() < 0.05


@pytest.mark.parametrize("spacing", [1.0, 2.0, 4.0])
def test_a_voxel_is_the_same_whatever_else_the_grid_covers(spacing):
    noise = np.random.default_rng(0).standard_normal((96, 80, 64)).astype(np.float32)
    image = Volume(noise, np.diag([0.5, 0.5, 0.5, 1]))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    whole = resample(image, Grid(tuple(int(n / 2 / spacing) for n in noise.shape), affine))
    affine[:3, 3] = spacing * 2
    part = resample(image, Grid((3, 3, 2), affine))
    np.testing.assert_allclose(part, whole[2:5, 2:5, 2:4], atol=1e-5)


def test_a_registration_moves_the_image():
    data = np.zeros((20, 20, 20), np.float32)
    data[12, 10, 10] = 1
    world = np.eye(4)
    world[0, 3] = 2  # what the grid has at x lies in the image at x + 2
    moved = resample(Volume(data, np.eye(4)), Grid((20, 20, 20), np.eye(4)), world)
    assert np.unravel_index(moved.argmax(), moved.shape) == (10, 10, 10)


def test_only_the_covered_part_is_touched():
    grid = Grid((4, 4, 4), np.eye(4))
    grid.affine[:3, 3] = 5
    target = Grid((20, 20, 20), np.eye(4))
    result = put_back(np.ones((1, 4, 4, 4), np.float32), grid, target)[0]
    assert result.sum() == 4**3 and result[5:9, 5:9, 5:9].all()
    assert all(s.start <= 5 and s.stop >= 9 and s.stop - s.start < 9 for s in covered_box(grid, target))


def test_a_mask_is_resampled_by_nearest_voxel():
    mask = np.zeros((10, 10, 10), bool)
    mask[5] = True
    result = resample_mask(mask, np.eye(4), Grid((10, 10, 10), np.eye(4)))
    assert result.dtype == bool and np.array_equal(result, mask)
