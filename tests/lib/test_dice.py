"""One Dice for arrays and tensors, exact for large masks, with a stated answer for empty ones."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from brainmvp.dice import dice


def test_it_is_the_f1_score_of_the_voxels():
    one, other = np.random.default_rng(0).random((2, 12, 14, 10)) > 0.6
    expected = f1_score(one.ravel(), other.ravel())
    assert dice(one, other) == pytest.approx(expected)
    assert dice(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(expected)


def test_empty_masks_score_what_the_caller_says():
    empty, some = np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)
    assert dice(empty, empty) == 1 and dice(empty, empty, both_empty=0.0) == 0
    assert dice(empty, some) == dice(some, empty) == 0


def test_more_voxels_than_float32_can_count_are_counted():
    mask = np.ones(2**24 + 1, bool)
    other = mask.copy()
    other[0] = False
    assert dice(mask, other) == 2 * 2**24 / (2 * 2**24 + 1) < 1
