"""Calibration: a temperature that is recovered, a diagram that is right, an uncertainty that finds errors."""

import numpy as np
import pytest
import torch

from brainmvp.calibration import (
    Reliability,
    best_threshold,
    bin_sums,
    draw_reliability,
    error_auc,
    fit_temperature,
    temper,
)


def _drawn(temperature: float, count: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits that are too sure by a temperature, and a truth drawn from the right probabilities."""
    generator = torch.Generator().manual_seed(3)
    right = torch.randn(count, generator=generator) * 2 - 1
    return right * temperature, torch.rand(count, generator=generator) < right.sigmoid()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    logits, truth = _drawn(temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_without_a_lesion_there_is_nothing_to_fit():
    assert fit_temperature(torch.randn(10), torch.zeros(10, dtype=torch.bool)) == 1.0


def test_tempered_probabilities_are_reliable():
    logits, truth = _drawn(2.5)
    before = Reliability.of(logits.sigmoid().numpy(), truth.numpy())
    after = Reliability.of(temper(logits[None], torch.tensor([2.5]))[0].numpy(), truth.numpy())
    assert after.error < 0.01 < 0.05 < before.error
    assert after.count.sum() == len(logits)


def test_each_region_has_its_own_temperature():
    logits = torch.full((2, 3, 3, 3), 2.0)
    probabilities = temper(logits, torch.tensor([1.0, 2.0]))
    assert torch.allclose(probabilities[:, 0, 0, 0], torch.tensor([2.0, 1.0]).sigmoid())


def test_the_threshold_is_the_best_of_all_cases_and_not_of_the_largest():
    truth = torch.tensor([True, False])
    low, high = torch.tensor([0.42, 0.37]), torch.tensor([0.8, 0.1])
    assert best_threshold([low, high, high], [truth] * 3) == (0.4, 1.0)
    assert best_threshold([torch.tensor([0.9, 0.52])], [truth]) == (0.55, 1.0)
    assert best_threshold([torch.tensor([0.9, 0.52])], [truth], slack=0.1)[0] == 0.55
    assert best_threshold([torch.tensor([0.9, 0.52])], [truth], slack=0.4) == (0.3, pytest.approx(2 / 3))


def test_the_sums_of_parts_give_the_diagram_of_the_whole():
    draw = np.random.default_rng(0)
    said = draw.random(999).astype(np.float32) ** 3
    true = draw.random(999) < said
    whole, index = Reliability.of(said, true), np.minimum((said * 15).astype(int), 14)
    parts = Reliability.of_sums(sum(bin_sums(said[k::3], true[k::3]) for k in range(3)))
    for curve in (whole, parts):
        assert np.array_equal(curve.count, [(index == k).sum() for k in range(15)])
        for values, told in ((said, curve.said), (true, curve.true)):
            assert told == pytest.approx([values[index == k].mean(dtype=float) for k in range(15)], rel=1e-12)


def test_empty_bins_do_not_count():
    curve = Reliability.of(np.array([0.02, 0.98]), np.array([False, True]))
    assert curve.count.sum() == 2 and np.isnan(curve.said[7])
    assert curve.error == pytest.approx(0.02)


def test_an_uncertainty_that_lies_on_the_errors_is_perfect():
    wrong = np.array([True, False, False, True])
    assert error_auc(wrong.astype(float), wrong) == 1.0
    assert error_auc(np.ones(4), np.zeros(4, bool)) is None


def test_the_diagram_is_drawn(tmp_path):
    curve = Reliability.of(np.linspace(0, 1, 100), np.arange(100) > 50)
    figure = draw_reliability({"HGG": curve}, tmp_path / "reliability.png", ("of the class", "patients"))
    assert [axes.get_ylabel() for axes in figure.axes] == ["share that is of the class", "share of patients"]
    assert (tmp_path / "reliability.png").stat().st_size > 5000
