"""A tumour stays on its side of the falx, passes where the brain is one, and its oedema fits its size."""

import pytest
import torch

from brainmvp.phantom.anatomy import GREY, WHITE
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.falx import at_callosum, detour_around
from brainmvp.phantom.grid import BrainGrid
from brainmvp.phantom.tumour import TumourPlan, grow

GRID = BrainGrid(4.0)
HERE = torch.stack(torch.broadcast_tensors(*GRID.axes()))
HIGH, BESIDE_CALLOSUM = (14.0, 20.0, 50.0), (12.0, 20.0, 14.0)


def grown(seed: int, *foci, crosses: bool = False) -> torch.Tensor:
    """Return the labels of a solid tumour in a brain that is the same everywhere."""
    tissue = torch.zeros(3, *GRID.shape)
    x, y, z = GRID.axes()
    brain = ((x / 70) ** 2 + (y / 88) ** 2 + (z / 74) ** 2 < 1).float()
    tissue[WHITE], tissue[GREY] = 0.7 * brain, 0.3 * brain
    plan = TumourPlan("solid", foci, crosses)
    return grow(Draw(seed), GRID, tissue, HERE, plan)[1]


def beyond(labels: torch.Tensor, above: float = -80.0) -> int:
    """Return how many voxels are labelled clearly on the left, above this height, mm."""
    return int(((labels > 0) & (HERE[0] < -4) & (HERE[2] > above)).sum())


@pytest.mark.parametrize("seed", range(6))
def test_off_the_callosum_neither_core_nor_oedema_passes_the_midline(seed):
    labels = grown(seed, (HIGH, 24.0))
    assert (labels > 0).sum() > 200
    assert beyond(labels, above=40.0) == 0


def test_a_butterfly_passes_through_the_callosum():
    assert at_callosum(*BESIDE_CALLOSUM[1:]) and not at_callosum(*HIGH[1:])
    foci = (BESIDE_CALLOSUM, 20.0), ((0.0, 20.0, 14.0), 9.0), ((-12.0, 20.0, 14.0), 14.0)
    for seed in range(3):
        assert beyond(grown(seed, *foci, crosses=True)) > 50


def test_the_way_over_a_bridge_costs_its_toll_once_and_the_falx_is_closed():
    away = detour_around(HERE, right=True, toll=7.0)
    other = detour_around(HERE, right=False, toll=7.0)
    right, left = HERE[0] > 0, HERE[0] < -6
    at = (HERE[1] > 0) & (HERE[1] < 40) & (HERE[2] > 0) & (HERE[2] < 20)
    assert (away[right] == 0).all()
    assert torch.allclose(away[left & at], torch.tensor(7.0))
    assert (away[left & (HERE[2] > 50)] > 100).all()
    assert torch.equal(other, away.flip(0))


@pytest.mark.parametrize("seed", range(4))
def test_oedema_does_not_reach_far_from_a_small_metastasis(seed):
    labels = grown(seed, ((40.0, 0.0, 30.0), 5.0))
    away = (HERE - torch.tensor([40.0, 0.0, 30.0])[:, None, None, None]).norm(dim=0)
    assert (labels > 0).any()
    # Its radius, two and a half more of oedema, and what bends the outline.
    assert away[labels > 0].amax() < 5 * 3.5 + 10
