"""A study that is left is given back to the server, and nothing of it stays."""

import threading

import pytest
from BrainMVPLib.background import Background
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting
from drawing import change, until


def test_a_study_that_is_left_without_a_label_is_given_back(opened, stock, settle):
    before = len(list((opened.folder / "work").glob("study-*")))
    stock.wrong["/datastore/image"] = "slow"
    opening, calls = Opening(opened), len(stock.calls)
    for _ in range(2):  # the first is refused
        opening.next_study()
    assert opened.errors.pop()
    until(lambda: "GET /datastore/image" in stock.calls[calls:])
    opened.leave()
    stock.release.set()
    until(lambda: "POST /studies/release" in stock.calls)
    assert len(list((opened.folder / "work").glob("study-*"))) == before
    stock.wrong.clear()
    opening.next_study()
    settle(opened)
    assert opened.state.study == "second"
    assert stock.calls.count("POST /studies/release") == 2  # the first one, too
    Submitting(opened).skip("blurred")
    settle(opened)
    stock.proposal["id"] = "first"
    Opening(opened).next_study()
    settle(opened)
    assert stock.calls.count("POST /studies/release") == 2


@pytest.mark.parametrize("drains", [0, 1, 2, 3], ids=["arrived", "not begun", "begun", "read"])
def test_a_study_that_is_left_between_two_steps_is_given_back_and_leaves_nothing(
    opened, stock, settle, drains
):
    Submitting(opened).submit("final")
    settle(opened)
    nodes, folders = opened.scene.GetNumberOfNodes(), set((opened.folder / "work").glob("study-*"))
    Opening(opened).next_study()
    for worker in (t for t in threading.enumerate() if t.name == "BrainMVP Next study"):
        worker.join(20)  # where it has not ended yet
    for _ in range(drains):
        opened.background.drain()
    assert (opened.busy, opened.state.study) == (True, "first")
    opened.leave()
    settle(opened)
    assert stock.calls.count("POST /studies/release") == 1
    assert (opened.errors, opened.state.study) == ([], "first")
    assert opened.scene.GetNumberOfNodes() == nodes
    assert set((opened.folder / "work").glob("study-*")) == folders


def test_an_own_study_that_was_changed_after_its_label_is_given_back(study, stock, settle):
    for labelled in (True, False):
        Segmenting(study).segment()
        settle(study)
        if labelled:
            Submitting(study).submit("draft")
            settle(study)
            change(study.reference()[1])
    assert (study.errors, len(stock.images)) == ([], 2)
    opening = Opening(study)
    for _ in range(2):  # the first is refused
        opening.use_scene()
    settle(study)
    assert len(study.errors) == 1
    assert stock.calls.count("POST /studies/release") == 1


def test_steps_that_are_left_are_undone_once_and_let_go():
    background, undone = Background(), []
    steps = ((name, 0.5) for name in ("one", "two"))
    job = background.start_steps("Opening", steps, print, print, print, lambda: undone.append(1))
    background.drain()
    job.abandon()
    background.drain()
    background.close()
    assert undone == [1]
