"""The head is found whatever its background is."""

import numpy as np
import pytest

from brainmvp.errors import BrainMVPError
from brainmvp.foreground import background_value, clean, foreground
from brainmvp.volume import Volume


@pytest.fixture
def ball():
    index = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), -1)
    return np.linalg.norm(index - 11.5, axis=-1) < 8


@pytest.mark.parametrize("background", [0.0, -0.7, 1000.0])
def test_a_constant_background_need_not_be_zero(ball, background):
    data = np.where(ball, 5 + np.random.default_rng(0).random(ball.shape), background).astype(np.float32)
    assert background_value(data) == pytest.approx(background)
    assert np.array_equal(foreground(Volume(data, np.eye(4))), ball)


def test_a_noisy_background_is_told_from_the_head(ball):
    data = np.abs(np.random.default_rng(0).normal(0, 4, ball.shape)) + 200 * ball
    assert background_value(data) is None
    assert np.array_equal(foreground(Volume(data.astype(np.float32), np.eye(4))), ball)


def test_cleaning_drops_specks_and_fills_holes(ball):
    dirty = ball.copy()
    dirty[11:13, 11:13, 11:13] = False
    dirty[0, 0, 0] = True
    assert np.array_equal(clean(dirty), ball)


def test_a_constant_image_is_refused():
    with pytest.raises(BrainMVPError, match="every voxel has the same value"):
        foreground(Volume(np.full((5, 5, 5), 3), np.eye(4)))
