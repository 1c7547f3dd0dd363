"""A tumour stays on its side of the falx, passes where the brain is one, and its oedema fits its size."""

from types import SimpleNamespace

import pytest
import torch

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.falx import at_callosum, detour_around, price_of_passing, side_of
from brainmvp.phantom.fissure import Fissure
from brainmvp.phantom.grid import BrainGrid
from brainmvp.phantom.tumour import TumourPlan, grow

GRID = BrainGrid(2.0)
HERE = torch.stack(torch.broadcast_tensors(*GRID.axes()))
HIGH, BESIDE_CALLOSUM = (14.0, 20.0, 50.0), (12.0, 20.0, 14.0)


def brain() -> torch.Tensor:
    """Return the tissue of a brain whose sides are one in a callosum and a brainstem, and parted by CSF elsewhere."""
    tissue = torch.zeros(3, *GRID.shape)
    x, y, z = HERE
    inside = ((x / 70) ** 2 + (y / 88) ** 2 + (z / 74) ** 2 < 1).float()
    callosum = (y > -20) & (y < 45) & (z > 10) & (z < 20)
    brainstem = (y > -20) & (y < 15) & (z < -5)
    fissure = (x.abs() < 2) & ~callosum & ~brainstem
    tissue[WHITE], tissue[GREY] = 0.7 * inside * ~fissure, 0.3 * inside * ~fissure
    tissue[CSF] = inside * fissure
    return tissue


def grown(seed: int, *foci, **passing: bool) -> torch.Tensor:
    """Return the labels of a solid tumour."""
    return grow(Draw(seed), GRID, brain(), HERE, TumourPlan("solid", foci, **passing))[1]


def beyond(labels: torch.Tensor) -> int:
    """Return how many voxels are labelled on the left."""
    return int(((labels > 0) & (HERE[0] < -1)).sum())


def price(callosum: bool) -> torch.Tensor:
    return price_of_passing(GRID, brain(), HERE, toll=7.0, callosum=callosum)


@pytest.mark.parametrize("centre", [HIGH, BESIDE_CALLOSUM, (5.0, 52.0, 20.0)])
def test_nothing_of_a_one_sided_tumour_lies_beyond_the_midline(centre):
    for seed in range(2):
        labels = grown(seed, (centre, 20.0), ((-3.0, *centre[1:]), 8.0))
        assert (labels > 0).sum() > 1000
        assert beyond(labels) == 0


def test_a_butterfly_passes_through_the_callosum():
    assert at_callosum(*BESIDE_CALLOSUM[1:]) and not at_callosum(*HIGH[1:])
    foci = (BESIDE_CALLOSUM, 20.0), ((0.0, 20.0, 14.0), 9.0), ((-12.0, 20.0, 14.0), 14.0)
    assert beyond(grown(0, *foci, crosses=True)) > 400


def test_metastases_may_lie_on_both_sides():
    foci = (HIGH, 8.0), ((-14.0, 20.0, 50.0), 8.0)
    assert beyond(grown(0, *foci, apart=True)) > 100


def test_passing_costs_the_toll_on_a_bridge_and_too_much_beside_it():
    to_left, to_right = (detour_around(HERE, right, price(callosum=True)) for right in (True, False))
    left = HERE[0] < 0
    callosum = (HERE[1] > 0) & (HERE[1] < 40) & (HERE[2] > 12) & (HERE[2] < 18)
    assert (to_left[~left] == 0).all()
    assert (to_left[left & callosum] == 7.0).all()
    assert (to_left[left & (HERE[2] > 50)] > 100).all()
    assert torch.equal(to_right, to_left.flip(0))
    assert (detour_around(HERE, True, price(callosum=False))[left & callosum] == 1000).all()
    assert price(callosum=False).amin() == 7.0  # the brainstem


def test_the_side_of_a_point_is_told_by_the_fissure():
    assert side_of(GRID, HERE, (3.0, 0.0, 0.0)) and not side_of(GRID, HERE, (-3.0, 0.0, 0.0))
    assert not side_of(GRID, HERE - 6.0, (3.0, 0.0, 0.0))


def test_a_turned_and_bent_fissure_is_found():
    x, y, z = HERE
    true = 0.5 + 0.03 * y + 0.0003 * y * y - 0.01 * z
    csf = torch.exp(-(((x - true) / 1.5) ** 2))
    found = Fissure.of(csf, GRID.spacing)
    middle = (y[0].abs() < 70) & (z[0].abs() < 60)
    assert (found.at(y[0], z[0]) - true[0])[middle].abs().amax() < 0.3
    assert found.at(20.0, 10.0) == pytest.approx(0.5 + 0.6 + 0.12 - 0.1, abs=0.3)


def test_how_a_solver_rounds_does_not_move_the_fissure(monkeypatch):
    x, y, _ = HERE
    csf = torch.exp(-(((x - 0.5 - 0.03 * y) / 1.5) ** 2))
    once = Fissure.of(csf, GRID.spacing)
    solve = torch.linalg.lstsq

    def roughly(rows, wanted):
        found = solve(rows, wanted).solution
        return SimpleNamespace(solution=found * (1 + 4 * torch.finfo(found.dtype).eps))

    monkeypatch.setattr(torch.linalg, "lstsq", roughly)
    assert Fissure.of(csf, GRID.spacing) == once


@pytest.mark.parametrize("seed", range(4))
def test_oedema_does_not_reach_far_from_a_small_metastasis(seed):
    labels = grown(seed, ((40.0, 0.0, 30.0), 5.0))
    away = (HERE - torch.tensor([40.0, 0.0, 30.0])[:, None, None, None]).norm(dim=0)
    assert (labels > 0).any()
    # Its radius, two and a half more of oedema, and what bends the outline.
    assert away[labels > 0].amax() < 5 * 3.5 + 10
