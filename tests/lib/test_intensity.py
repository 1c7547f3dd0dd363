"""MRI has no units: what a network sees does not depend on a scanner's scale."""

import pytest
import torch

from brainmvp.intensity import normalise, percentile, tissue_peak
from brainmvp.sequences import Sequence


@pytest.fixture
def image():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(20, 20, 20, generator=generator) * 800 + 100


@pytest.fixture
def brain():
    mask = torch.zeros(20, 20, 20, dtype=torch.bool)
    mask[3:17, 3:17, 3:17] = True
    return mask


def test_percentiles_become_zero_and_one_and_the_outside_zero(image, brain):
    result = normalise(image, brain, Sequence.T1)
    inside = result[brain]
    assert percentile(inside, 0.05).abs() < 1e-5 and (percentile(inside, 0.95) - 1).abs() < 1e-5
    assert not result[~brain].any()


@pytest.mark.parametrize("sequence", [Sequence.T1, Sequence.DWI, Sequence.ADC])
def test_the_scale_of_the_scanner_does_not_matter(image, brain, sequence):
    torch.testing.assert_close(normalise(image, brain, sequence), normalise(image * 1000, brain, sequence))


def test_what_is_outside_the_brain_does_not_matter(image, brain):
    changed = torch.where(brain, image, 1e6)
    torch.testing.assert_close(normalise(image, brain, Sequence.T2), normalise(changed, brain, Sequence.T2))


def test_an_outlier_is_bounded(image, brain):
    image[10, 10, 10] = 1e9
    assert normalise(image, brain, Sequence.T1CE).max() == 4.0


@pytest.mark.parametrize("atrophy", [0.1, 0.4])
def test_healthy_tissue_has_adc_one_whatever_the_amount_of_csf(atrophy):
    generator = torch.Generator().manual_seed(1)
    values = 800 + 60 * torch.randn(50_000, generator=generator)
    values[: int(atrophy * len(values))] *= 3.7
    assert tissue_peak(values).item() == pytest.approx(800, rel=0.04)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_or_empty_brain_gives_finite_values(brain, value):
    for sequence in (Sequence.T1, Sequence.ADC):
        assert normalise(torch.full((20, 20, 20), value), brain, sequence).isfinite().all()
        assert not normalise(torch.rand(20, 20, 20), torch.zeros_like(brain), sequence).any()
