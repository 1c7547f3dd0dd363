"""A draft comes back as what it was drawn as, or somebody is told."""

import numpy as np
import pytest
from BrainMVPLib.drawn import export_labels
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.opening import Opening
from BrainMVPLib.submitting import Submitting
from stock_server import AFFINE


@pytest.mark.parametrize("annotator", ["Anna", "Ben"])
def test_an_own_draft_comes_back_with_its_study_and_is_not_given_back(
    opened, stock, settle, tmp_path, annotator
):
    box = np.zeros((10, 12, 14), np.uint8)
    box[3:6, 4:8, 5:9] = 2
    write_nrrd(tmp_path / "draft.nrrd", box, AFFINE)
    notes = {"name": "second.nrrd", "annotator": annotator, "model": "lesions@1"}
    stock.drafts["second"] = (tmp_path / "draft.nrrd").read_bytes(), notes
    stock.proposal["lease"] = {"annotator": "Anna", "draft": True}
    opened.annotator = "Anna"
    Submitting(opened).submit("final")
    settle(opened)
    Opening(opened).next_study()
    settle(opened)
    state = opened.state
    assert (opened.errors, state.study, state.answered) == ([], "second", True)
    if annotator == "Anna":
        assert "Your draft is open" in opened.heard[-1]
        labels = export_labels(state.segmentation, Submitting(opened).table(), opened.reference()[1])
        np.testing.assert_array_equal(labels, box)
        assert state.facts["model"] == "lesions@1"
    else:
        assert state.segmentation is None
    stock.proposal = {"id": "first", "name": "first.nrrd"}
    Opening(opened).next_study()
    settle(opened)
    assert (opened.errors, opened.state.study) == ([], "first")
    assert "POST /studies/release" not in stock.calls


@pytest.mark.parametrize("task", ["lesions", "no longer served"])
def test_a_draft_comes_back_as_of_its_own_task_or_not_at_all(opened, stock, settle, tmp_path, task):
    box = np.full((10, 12, 14), 7, np.uint8)  # the tumour task has no such value
    write_nrrd(tmp_path / "draft.nrrd", box, AFFINE)
    notes = {"name": "second.nrrd", "annotator": "", "task": task}
    stock.drafts["second"] = (tmp_path / "draft.nrrd").read_bytes(), notes
    stock.proposal["lease"] = {"annotator": "", "draft": True}
    Submitting(opened).submit("final")
    settle(opened)
    opened.state.model = "tumour"
    Opening(opened).next_study()
    settle(opened)
    if task == "lesions":
        assert (opened.errors, opened.state.task) == ([], task)
        assert "Your draft is open" in opened.heard[-1]
    else:
        assert "The draft is of a model that is not known here" in opened.errors.pop()
        assert opened.state.segmentation is None


def test_a_draft_that_does_not_fit_is_told_and_the_study_opens(opened, stock, settle, tmp_path):
    write_nrrd(tmp_path / "draft.nrrd", np.zeros((3, 4, 5), np.uint8), AFFINE)
    stock.drafts["second"] = (tmp_path / "draft.nrrd").read_bytes(), {"annotator": "", "name": "second.nrrd"}
    stock.proposal["lease"] = {"annotator": "", "draft": True}
    Submitting(opened).submit("final")
    settle(opened)
    Opening(opened).next_study()
    settle(opened)
    assert "The draft does not lie on the grid" in opened.errors.pop()
    assert (opened.state.study, opened.state.segmentation) == ("second", None)
