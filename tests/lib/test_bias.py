"""What a coil made brighter is evened out; what it did not touch stays."""

import numpy as np

from brainmvp.bias import evened


def _ball(size: int = 48, spacing: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image of two tissues, where its brain is, and a smooth field that makes one side brighter."""
    x, y, z = np.indices((size, size - 4, size - 7)) * spacing
    middle = [(n - 1) * spacing / 2 for n in x.shape]
    distance = np.sqrt(sum((axis - m) ** 2 for axis, m in zip((x, y, z), middle, strict=True)))
    brain = distance < 60
    stripes = (np.sin(x / 9) + np.sin(y / 11) + np.sin(z / 8) > 0) + 1.0
    noise = np.random.default_rng(0).normal(1, 0.03, x.shape)
    image = np.where(brain, 100 * stripes * noise, 0).astype(np.float32)
    return image, brain, np.exp(0.4 * (x - middle[0]) / 60 - 0.2 * (z - middle[2]) / 60).astype(np.float32)


def test_a_field_is_taken_away_and_the_tissues_stay():
    image, brain, field = _ball()
    result = evened(image * field, brain, 3.0)
    left = np.log(result[brain] / image[brain]).std() / np.log(field[brain]).std()
    assert left < 0.35
    assert result.dtype == np.float32 and np.array_equal(result, evened(image * field, brain, 3.0))


def test_an_even_image_stays_as_it_is():
    image, brain, _ = _ball()
    assert np.abs(np.log(evened(image, brain, 3.0)[brain] / image[brain])).max() < 0.1


def test_an_image_without_brain_comes_back():
    image, brain, _ = _ball()
    assert np.array_equal(evened(image, np.zeros_like(brain), 3.0), image)
