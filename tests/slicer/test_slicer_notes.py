"""A label goes out on the grid, with the task, the sequences and the time that it was drawn with."""

import time

import numpy as np
import pytest
import SimpleITK as sitk
from BrainMVPLib import scene as ops
from BrainMVPLib.grids import file_affine
from BrainMVPLib.opening import Opening
from BrainMVPLib.submitting import Submitting
from drawing import fill
from stock_server import AFFINE


@pytest.fixture
def of_many(session, volume):
    """A session on a study of the server of which FLAIR and DWI lie on one grid, and T1CE on another."""
    voxels = np.arange(20 * 26 * 32, dtype=np.int16).reshape(20, 26, 32)
    for sequence in ("T1CE", "FLAIR", "DWI"):
        node = volume(voxels, AFFINE @ np.diag([2, 2, 2, 1]) if sequence == "T1CE" else AFFINE, sequence)
        ops.mark(node, "p1", "sequence", sequence)
        session.state.set_volume(sequence, node.GetID())
    state = session.state
    state.study, state.study_name, state.from_server, state.opened = "p1", "p1", True, time.time() - 60
    return session


def submitted(session, settle):
    """Submit to a server that is away; return the label (Z, Y, X), its grid and what is noted about it."""
    Submitting(session).submit("final")
    settle(session)
    assert session.errors == []
    (letter,) = session.outbox.letters()
    return sitk.GetArrayFromImage(sitk.ReadImage(str(letter.file))), file_affine(letter.file), letter.notes


def test_another_model_s_name_does_not_relabel_what_was_drawn(of_many, settle):
    of_many.state.model = "stroke"
    Submitting(of_many).start_empty()
    fill(of_many.state.segmentation, of_many.reference()[1])
    of_many.state.model = "tumour"
    labels, grid, notes = submitted(of_many, settle)
    assert notes["task"] == "stroke"
    assert labels.sum() == 27
    np.testing.assert_allclose(grid, AFFINE, atol=1e-6)


def test_a_label_is_of_the_server_s_own_task_that_it_was_drawn_with(of_many, settle):
    own = {"labels": {"Core": 1, "Whole": 2}, "sequences": ["T1CE", "FLAIR"], "minimum": [["FLAIR"]]}
    of_many.info = {"models": {"tumour": {}, "our-tumours": own}}
    of_many.state.model = "our-tumours"
    Submitting(of_many).start_empty()
    of_many.state.model = "tumour"
    assert submitted(of_many, settle)[2]["task"] == "our-tumours"


def covering_half(of_many, volume):
    """Let T1CE cover half of the head's height."""
    ops.remove(of_many.scene, of_many.state.volume("T1CE"))
    node = volume(np.zeros((10, 26, 32), np.int16), AFFINE @ np.diag([1, 1, 0.9, 1]), "T1CE")
    ops.mark(node, "p1", "sequence", "T1CE")
    of_many.state.set_volume("T1CE", node.GetID())


def test_a_label_lies_on_the_volume_that_it_was_drawn_on_whatever_another_one_covers(of_many, volume, settle):
    covering_half(of_many, volume)
    of_many.state.model, of_many.state.reference = "stroke", "T1CE"
    Submitting(of_many).start_empty()
    fill(of_many.state.segmentation, of_many.reference()[1])
    labels, grid, _ = submitted(of_many, settle)
    assert labels.sum() == 27
    np.testing.assert_allclose(grid, AFFINE, atol=1e-6)


def test_what_the_label_s_volume_does_not_cover_is_not_cut_off_in_silence(of_many, volume, settle):
    covering_half(of_many, volume)
    of_many.state.model = "tumour"
    Submitting(of_many).start_empty()
    fill(of_many.state.segmentation, of_many.chosen_volumes()["FLAIR"])
    Submitting(of_many).submit("final")
    settle(of_many)
    assert "would be lost: they lie outside T1CE" in of_many.errors.pop()
    assert of_many.outbox.letters() == []


@pytest.mark.parametrize("left_empty", [True, False])
def test_a_label_lies_on_what_it_was_drawn_with_and_says_so(of_many, settle, left_empty):
    of_many.state.model, of_many.state.reference = "tumour", "T1CE"
    if left_empty:
        Opening(of_many).choose("T1CE", None)
    Submitting(of_many).start_empty()
    fill(of_many.state.segmentation, of_many.reference()[1])
    labels, grid, notes = submitted(of_many, settle)
    assert notes["sequences"] == (["FLAIR"] if left_empty else ["T1CE", "FLAIR"])
    np.testing.assert_allclose(grid, AFFINE if left_empty else AFFINE @ np.diag([2, 2, 2, 1]), atol=1e-6)
    assert labels.any()


@pytest.mark.parametrize(("ago", "told"), [(90, True), (-3600, False), (2e7, False)])
def test_no_impossible_time_is_told(of_many, settle, ago, told):
    Submitting(of_many).start_empty()
    of_many.state.opened = time.time() - ago
    assert ("seconds" in submitted(of_many, settle)[2]) == told
