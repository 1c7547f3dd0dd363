"""What an image was scanned over is told by the brain, not by the neck."""

import numpy as np
import pytest

from brainmvp.brain import find_brain
from brainmvp.coverage import ENOUGH, brain_inside, with_coverage
from brainmvp.phantom.rescan import scan
from brainmvp.registration import Alignment
from brainmvp.sequences import Sequence
from brainmvp.volume import Volume


def test_a_neck_that_only_one_shows_is_no_loss_and_a_brain_is(head):
    whole = scan(head["T1"], (2.0, 2.0, 2.0))
    lowest = np.flatnonzero(scan(head["brain"], (2.0, 2.0, 2.0)).data.any((0, 1)))[0]
    middle = whole.shape[2] // 2
    without_neck, upper = (
        scan(head["FLAIR"], (2.0, 2.0, 2.0), None, slice(k, None)) for k in (lowest, middle)
    )
    assert lowest > 5
    assert brain_inside(whole, without_neck, np.eye(4)) > 0.97
    assert brain_inside(without_neck, whole, np.eye(4)) > 0.99
    assert 0.3 < brain_inside(whole, upper, np.eye(4)) < 0.8


def test_a_stripped_brain_is_compared_with_a_head(head):
    whole = scan(head["T1"], (2.0, 2.0, 2.0))
    brain = (
        scan(Volume(head["brain"].data.astype(np.float32), head["brain"].affine), (2.0, 2.0, 2.0)).data > 0.5
    )
    stripped = Volume(np.where(brain, whole.data, 0), whole.affine)
    assert brain_inside(stripped, whole, np.eye(4)) == pytest.approx(1)
    assert brain_inside(whole, stripped, np.eye(4)) > 0.95


def test_a_second_brain_is_looked_for_only_where_the_reference_may_not_show_all_of_it(head, monkeypatch):
    looked = []
    monkeypatch.setattr(
        "brainmvp.coverage.find_brain", lambda image: looked.append(image) or find_brain(image)
    )
    whole = scan(head["T1"], (2.0, 2.0, 2.0))
    shown = np.flatnonzero(scan(head["brain"], (2.0, 2.0, 2.0)).data.any((0, 1)))
    still = Alignment(np.eye(4), False, 1.2, 1.2, 1.0)
    for cut, measured in (
        (shown[0] - 6, False),
        (shown[0] + 18, True),
    ):  # 12 mm below the brain, and within it
        reference = scan(head["FLAIR"], (2.0, 2.0, 2.0), None, slice(cut, None))
        brain = find_brain(reference).mask
        found = with_coverage({Sequence.T1: still}, {Sequence.T1: whole}, reference, brain, {})[Sequence.T1]
        assert found.covers > 0.99 and len(looked) == measured
        assert (found.covered is not None) == measured
    assert 0.5 < found.covered < ENOUGH
