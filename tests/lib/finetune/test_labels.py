"""A label lies where its image shows what it marks, on whatever grid."""

from itertools import pairwise

import numpy as np
import pytest

from brainmvp.finetune.labels import labels_on
from brainmvp.spatial import Grid
from brainmvp.tasks import get_task
from brainmvp.volume import Volume

STROKE, TUMOUR = get_task("stroke"), get_task("tumour")


def balls(*radii, centre=(19.3, 19.8, 20.2), values=(1,)):
    """Return balls of a label each, one inside the other, voxels of 1 mm."""
    distance = np.linalg.norm(np.indices((40, 40, 40)).T - np.array(centre), axis=-1).T
    data = np.zeros(distance.shape, np.uint8)
    for radius, value in zip(radii, values, strict=True):
        data[distance <= radius] = value
    return Volume(data, np.eye(4))


def grid_from(start, spacing):
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = start
    return Grid((18, 18, 18) if spacing > 1 else (36, 36, 36), affine)


def middle(mask, affine):
    return affine[:3, :3] @ np.argwhere(mask).mean(0) + affine[:3, 3]


@pytest.mark.parametrize("radius", [4, 6, 9])
@pytest.mark.parametrize("start", [(1, 1, 1), (1.5, 1.5, 1.5), (1.5, 2.3, 1)])
@pytest.mark.parametrize("codes", [(1, 1, 1), (-1, -1, 1)])
def test_a_lesion_keeps_its_place_and_its_size(radius, start, codes):
    label = balls(radius)
    turned = Volume(label.data, label.affine @ np.diag([*codes, 1.0]))
    grid = grid_from(start, 2.0)
    grid.affine[:3] = np.diag(codes) @ grid.affine[:3]
    found = labels_on(grid, turned, STROKE) > 0
    assert middle(found, grid.affine) == pytest.approx(middle(turned.data, turned.affine), abs=0.3)
    assert found.sum() * 8 == pytest.approx(turned.data.sum(), rel=0.15)


def test_a_label_between_two_voxels_is_drawn_to_neither_side():
    label = balls(6, centre=(20, 20, 20))
    grid = grid_from((1.5, 1.5, 1.5), 2.0)
    assert middle(labels_on(grid, label, STROKE), grid.affine) == pytest.approx([20, 20, 20], abs=0.15)


def test_a_small_infarct_does_not_wear_away():
    label = Volume(balls(1.1).data, np.diag([2.0, 2.0, 2.0, 1.0]))
    for start in ((9.0, 9.0, 9.0), (9.7, 9.6, 9.7)):
        assert labels_on(grid_from(start, 2.0), label, STROKE).sum() == label.data.sum()


def test_the_same_grid_leaves_a_label_as_it_is():
    label = balls(10, 6, 1, values=(2, 1, 3))
    assert np.array_equal(labels_on(Grid(label.shape, label.affine), label, TUMOUR), label.data)


def test_a_region_stays_inside_the_one_around_it():
    label = balls(9, 5, 1.2, values=(2, 1, 3))
    label.data[30:32, 30, 30] = 3  # enhancing tumour of two voxels, by itself
    grid = grid_from((1.4, 1.4, 1.4), 2.0)
    found = labels_on(grid, label, TUMOUR)
    assert set(np.unique(found)) == {0, 1, 2, 3}
    masks = list(TUMOUR.regions_of(found).values())
    volumes = [mask.sum() * 8 for mask in TUMOUR.regions_of(label.data).values()]
    assert all((outer >= inner).all() for outer, inner in pairwise(masks))
    assert [mask.sum() for mask in masks[:2]] == pytest.approx([v / 64 for v in volumes[:2]], rel=0.1)


def test_tissues_are_by_nearest_voxel():
    tissues, label = get_task("mrbrains-13"), balls(12)
    label.data[10:30, 10:30, 20] = tissues.labels[0].value  # a sheet
    found = labels_on(grid_from((1.3, 1.3, 1.3), 1.0), label, tissues)
    assert (found == tissues.labels[0].value).sum() >= 0.95 * (label.data == tissues.labels[0].value).sum()
