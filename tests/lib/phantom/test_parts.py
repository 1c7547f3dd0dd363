"""The equations, fields and shapes that phantoms are made of."""

from dataclasses import replace

import pytest
import torch
from scipy import ndimage

from brainmvp.phantom.anatomy import CSF, WHITE
from brainmvp.phantom.contrast import Protocol, carry_over, nulling_time, signal
from brainmvp.phantom.deform import shrunken
from brainmvp.phantom.draw import Draw, box_mean
from brainmvp.phantom.grid import BrainGrid, pick_points
from brainmvp.phantom.layers import add_ball, ellipsoid
from brainmvp.phantom.materials import healthy, infarct
from brainmvp.phantom.paths import detour
from brainmvp.sequences import Sequence

GRID = BrainGrid(4.0)


def test_smooth_fields_have_unit_variance_and_change_slowly():
    field = Draw(1).smooth(BrainGrid(2.0), 10.0)
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.std() == pytest.approx(1, abs=0.1)
    assert (field[1:] - field[:-1]).std() < 0.4


def test_box_mean_is_the_uniform_filter():
    field = Draw(2).white((12, 14, 10))
    expected = ndimage.uniform_filter(field.numpy(), 5, mode="constant")
    assert torch.allclose(box_mean(field, 2), torch.from_numpy(expected), atol=1e-5)


def test_atrophy_widens_what_holds_some_csf_and_leaves_the_rest():
    tissue = torch.zeros(3, 2, 1, 1)
    tissue[:, 0, 0, 0] = torch.tensor([0.9, 0.0, 0.1])
    tissue[WHITE, 1, 0, 0] = 0.5  # at the edge of the brain
    assert torch.allclose(shrunken(tissue, 0.0), tissue)
    old = shrunken(tissue, 1.0)
    assert old[CSF, 0, 0, 0] == pytest.approx(1 / 3, abs=0.01)
    assert torch.allclose(old.sum(0), tissue.sum(0)) and torch.equal(old[:, 1], tissue[:, 1])


def test_points_are_drawn_where_the_weights_are():
    weights = torch.zeros(GRID.shape)
    weights[5, 6, 7] = 1.0
    (point,) = pick_points(weights, GRID.spacing, [0.3])
    expected = GRID.affine @ (5, 6, 7, 1)
    assert point == pytest.approx(tuple(expected[:3]))


def test_an_ellipsoid_keeps_the_volume_of_its_ball():
    inside = ellipsoid(Draw(3), BrainGrid(2.0), (4.0, -6.0, 2.0)) < 30
    assert float(inside.sum()) * 8 == pytest.approx(4 / 3 * 3.14159 * 30**3, rel=0.03)


def test_a_ball_is_found_where_it_was_put():
    distance = torch.full(GRID.shape, 1e3)
    add_ball(distance, Draw(4), GRID, (10.0, 20.0, -14.0), 9.0)
    where = (distance < 0).nonzero().float().mean(0)
    middle = GRID.spacing * (where - (torch.tensor(GRID.shape) - 1) / 2)
    assert torch.allclose(middle, torch.tensor([10.0, 20.0, -14.0]), atol=1.5)


def test_a_way_around_a_barrier_is_longer_and_along_a_tract_shorter():
    start = torch.zeros(16, 16, 8, dtype=torch.bool)
    start[2, 8, 4] = True
    cost = torch.ones(start.shape)
    cost[8, 2:] = 1e3  # a wall with a gap, as the falx has one at the corpus callosum
    cost[2:8, 12] = 0.5
    longer = detour(start, cost)
    assert longer[2, 8, 4] == longer[5, 8, 4] == 1
    assert longer[12, 8, 4] == pytest.approx((10 + 2 * 7) / 10)  # to the gap and back, 7 voxels each
    assert longer[7, 12, 4] == pytest.approx((9 - 0.5 * 6) / 9)
    assert longer.min() >= 0.5


def test_flair_suppresses_csf_and_t2_does_not():
    grey, _, csf = healthy(Draw(5), 0.5)
    tr = 9000.0
    flair = Protocol(Sequence.FLAIR, tr, 110.0, ti=nulling_time(csf.t1, tr))
    assert signal(csf, flair) < 0.01 * signal(grey, flair)
    t2 = Protocol(Sequence.T2, 5000.0, 100.0)
    assert signal(csf, t2) > 2 * signal(grey, t2)


def test_white_matter_is_brighter_than_grey_in_t1_and_darker_in_t2():
    grey, white, csf = healthy(Draw(6), 0.5)
    for seed in range(10):
        t1, t2 = (Protocol.drawn(s, Draw(seed)) for s in (Sequence.T1, Sequence.T2))
        assert signal(white, t1) > signal(grey, t1) > signal(csf, t1)
        assert signal(white, t2) < signal(grey, t2) < signal(csf, t2)


def test_gadolinium_shows_after_injection_only():
    grey, _, _ = healthy(Draw(7), 0.5)
    enhancing = replace(grey, agent=0.8)
    plain = replace(grey, agent=0.0)
    for sequence in (Sequence.T1, Sequence.T2, Sequence.FLAIR, Sequence.DWI):
        protocol = Protocol.drawn(sequence, Draw(8))
        assert signal(enhancing, protocol) == signal(plain, protocol)
    after = Protocol(Sequence.T1CE, 550.0, 12.0)
    assert signal(enhancing, after) > 1.4 * signal(plain, after)


def test_restricted_diffusion_is_bright_in_dwi_and_dark_in_adc():
    grey, _, _ = healthy(Draw(9), 0.5)
    lesion = replace(grey, adc=0.45)
    dwi = Protocol(Sequence.DWI, 6000.0, 80.0, b=1.0)
    assert signal(lesion, dwi) > 1.3 * signal(grey, dwi)
    assert signal(lesion, Protocol(Sequence.ADC, 6000.0, 80.0, b=1.0)) == 0.45


@pytest.mark.parametrize(("small", "share"), [(False, 0.38), (True, 0.53)])
def test_a_third_of_infarcts_have_a_normal_adc_and_half_of_the_small_ones(small, share):
    grey, _, _ = healthy(Draw(10), 0.5)
    draw = Draw(11)
    normal = sum(infarct(draw, grey, small=small).adc > 0.8 * grey.adc for _ in range(1000)) / 1000
    assert normal == pytest.approx(share, abs=0.07)


def test_a_signal_keeps_its_place_between_the_tissues_of_another_image():
    physical, shown = [0.3, 0.25, 0.9], [0.4, 0.35, 1.0]
    assert carry_over(0.3, physical, shown, Sequence.ADC) == pytest.approx(0.4)
    assert carry_over(0.9, physical, shown, Sequence.ADC) == pytest.approx(1.0)
    assert carry_over(0.33, physical, shown, Sequence.PD) == pytest.approx(0.44)
    assert carry_over(0.6, physical, shown, Sequence.T2) == pytest.approx(
        0.6
    )  # two thirds of half of the way
    assert carry_over(0.6, physical, shown, Sequence.FLAIR) == pytest.approx(0.8)
