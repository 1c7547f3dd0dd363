"""Metrics of masks: kept libraries agree, hand-made cases come out as the definitions say, empty masks by rule."""

import numpy as np
import pytest
import surface_distance
from scipy import ndimage
from sklearn.metrics import f1_score

from brainmvp.dice import dice
from brainmvp.evaluation.lesions import lesion_dice, lesion_f1
from brainmvp.evaluation.masks import MISSED_MM, mask_metrics
from brainmvp.tasks import Lesions, get_task

ONE_MM, ONE_MM3 = np.ones(3), 0.001  # mm, mL
GLIOMA, METASTASES = Lesions(), get_task("brats-met-2023").lesions


def ball(centre, radius, shape=(40, 44, 36), spacing=ONE_MM):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return np.linalg.norm((index - np.array(centre)) * spacing, axis=-1) <= radius


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 1.1, 3.0)])
@pytest.mark.parametrize("seed", range(3))
def test_libraries_agree(spacing, seed):
    spacing, rng = np.array(spacing), np.random.default_rng(seed)
    true = ball(rng.uniform(15, 22, 3), 9, spacing=spacing)
    found = ball(rng.uniform(15, 22, 3), 8, spacing=spacing) | ball(
        rng.uniform(10, 25, 3), 4, spacing=spacing
    )
    ours = mask_metrics(found, true, np.diag([*spacing, 1]), GLIOMA)
    assert ours["dice"] == pytest.approx(surface_distance.compute_dice_coefficient(true, found), abs=1e-6)
    assert ours["dice"] == pytest.approx(f1_score(true.ravel(), found.ravel()), abs=1e-6)
    distances = surface_distance.compute_surface_distances(true, found, spacing)
    theirs = surface_distance.compute_robust_hausdorff(distances, 95)
    # One takes the voxels of a surface, the other the areas between them: less than a voxel apart.
    assert ours["hd95"] == pytest.approx(theirs, abs=float(spacing.max()))
    assert ours["volume_error"] == pytest.approx(abs(found.sum() - true.sum()) * np.prod(spacing) / 1000)


def test_empty_masks_follow_the_rule():
    empty, some = np.zeros((20, 20, 20), bool), ball((10, 10, 10), 5, (20, 20, 20))
    names = ("dice", "hd95", "lesion_dice", "lesion_f1")
    both = mask_metrics(empty, empty, np.eye(4), GLIOMA)
    assert [both[name] for name in (*names, "volume_error")] == [1, 0, 1, 1, 0]
    for found, true in ((some, empty), (empty, some)):
        result = mask_metrics(found, true, np.eye(4), GLIOMA)
        assert [result[name] for name in names] == [0, MISSED_MM, 0, 0]
    same = mask_metrics(some, some, np.eye(4), GLIOMA)
    assert [same[name] for name in names] == [1, 0, 1, 1]


def test_a_sheared_grid_changes_no_volume():
    affine = np.diag([1.0, 1, 3, 1])
    affine[1, 2] = 3 * np.tan(np.radians(20))  # each slice lies further back
    true = np.zeros((30, 30, 12), bool)
    true[10:20, 10:20, 5:10] = True
    found = true & (np.arange(12) < 9)
    result = mask_metrics(found, true, affine, GLIOMA)
    assert result["true_ml"] == pytest.approx(1.5) and result["volume_error"] == pytest.approx(0.3)
    small = np.zeros_like(true)
    small[10:14, 10:14, 5] = True  # 48 mm3, as 16 voxels of 3 mm3
    assert mask_metrics(small & False, small, affine, GLIOMA)["lesion_dice"] == 1


def test_lesion_wise_dice_counts_misses_and_inventions():
    first, second, third = ball((8, 8, 8), 4), ball((28, 30, 8), 4), ball((28, 8, 28), 4)
    true = first | second
    assert lesion_dice(first, true, ONE_MM3, GLIOMA) == pytest.approx(1 / 2)
    assert lesion_dice(first | second | third, true, ONE_MM3, GLIOMA) == pytest.approx(2 / 3)
    assert lesion_dice(third, true, ONE_MM3, GLIOMA) == 0
    # Dice of the whole mask does not see that a small lesion was missed; this does.
    large = ball((15, 15, 15), 9)
    tiny = ball((35, 38, 30), 2.5)
    assert mask_metrics(large, large | tiny, np.eye(4), GLIOMA)["dice"] > 0.97
    assert lesion_dice(large, large | tiny, ONE_MM3, GLIOMA) == pytest.approx(1 / 2)


def test_lesion_wise_dice_of_many_lesions_is_that_of_their_definition():
    draw = np.random.default_rng(0)
    true, found = (ndimage.gaussian_filter(draw.random((48, 40, 44)), 1.5) > limit for limit in (0.555, 0.55))
    found[::2] |= true[::2]
    scores, rules = [], Lesions(dilation=1, smallest_mm3=5)
    lesions, count = ndimage.label(
        ndimage.binary_dilation(true, ndimage.generate_binary_structure(3, 2)), np.ones((3, 3, 3))
    )
    parts, part_count = ndimage.label(found, np.ones((3, 3, 3)))
    left = set(range(1, part_count + 1))
    for lesion in range(1, count + 1):
        reached = set(np.unique(parts[lesions == lesion])) - {0}
        left -= reached
        own, joined = true & (lesions == lesion), np.isin(parts, list(reached))
        if own.sum() > 5:
            scores.append(dice(own, joined))
    assert len(scores) > 20 and left and 0.2 < np.mean(scores) < 0.9
    wanted = sum(scores) / (len(scores) + len(left))
    assert lesion_dice(found, true, ONE_MM3, rules) == pytest.approx(wanted, abs=1e-12)


def test_near_parts_are_one_lesion_and_specks_do_not_count():
    near = ball((10, 20, 18), 4) | ball((22, 20, 18), 4)  # three voxels apart
    assert lesion_dice(ball((10, 20, 18), 4), near, ONE_MM3, GLIOMA) == pytest.approx(2 / 3, abs=0.01)
    assert lesion_dice(ball((10, 20, 18), 4), near, ONE_MM3, METASTASES) == pytest.approx(1 / 2)
    speck = ball((10, 10, 10), 1.5)  # 19 voxels
    assert lesion_dice(np.zeros_like(speck), speck, ONE_MM3, GLIOMA) == 1
    assert lesion_dice(np.zeros_like(speck), speck, ONE_MM3, METASTASES) == 0


def test_lesions_grow_without_corners_as_those_of_brats():
    def cube(first, edge=5):
        mask = np.zeros((40, 40, 40), bool)
        mask[first : first + edge, first : first + edge, first : first + edge] = True
        return mask

    # Across a corner they need twice the dilation: these two stay two lesions, one of them found.
    assert lesion_dice(cube(5), cube(5) | cube(15), ONE_MM3, GLIOMA) == pytest.approx(1 / 2)
    # And what is found so far off a corner reaches no lesion.
    assert lesion_dice(cube(5) | cube(12, 2), cube(5), ONE_MM3, GLIOMA) == pytest.approx(1 / 2)


def test_lesion_wise_f1():
    first, second, third = ball((8, 8, 8), 4), ball((28, 30, 8), 4), ball((28, 8, 28), 4)
    assert lesion_f1(first, first | second) == pytest.approx(2 / 3)
    assert lesion_f1(first | third, first | second) == pytest.approx(1 / 2)
    assert lesion_f1(first | second, first | second) == 1
    assert lesion_f1(third, first) == 0
