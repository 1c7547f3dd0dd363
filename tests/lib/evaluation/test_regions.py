"""Two models are compared by what both of them answered."""

import pytest

from brainmvp.evaluation.regions import compare
from brainmvp.evaluation.segmentation import CaseScore
from brainmvp.tasks import get_task

TUMOUR = get_task("tumour")


def scored(number, patient, **dice):
    return CaseScore(f"s{number}", patient, "m@1", {name: {"dice": d} for name, d in dice.items()}, 1.0)


def test_a_model_that_offers_the_easiest_region_alone_gains_nothing_by_that():
    first = [scored(n, f"p{n}", WT=0.86 + 0.01 * (n % 3), TC=0.75, ET=0.7) for n in range(12)]
    second = [scored(n, f"p{n}", WT=score.regions["WT"]["dice"] - 0.02) for n, score in enumerate(first)]
    found = compare(TUMOUR, first, second)
    assert set(found) == {"Dice, mean", "Dice, WT"}
    assert found["Dice, mean"] == found["Dice, WT"]
    assert found["Dice, mean"].difference.value == pytest.approx(-0.02)


def test_a_visit_in_which_one_model_lacks_a_region_counts_for_neither():
    first = [scored(0, "p", WT=0.8, TC=0.5), scored(1, "p", WT=0.8, TC=0.9), scored(2, "q", WT=0.8)]
    second = [scored(0, "p", WT=0.8, TC=0.6), scored(1, "p", WT=0.8), scored(2, "q", TC=0.1)]
    found = compare(TUMOUR, first, second)
    assert found["Dice, TC"].difference.value == pytest.approx(0.1) and found["Dice, TC"].patients == 1
    assert found["Dice, WT"].difference.value == 0 and found["Dice, mean"].patients == 1
