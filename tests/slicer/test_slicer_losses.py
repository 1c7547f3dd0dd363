"""Nothing that was drawn is left, or set aside, by accident."""

from pathlib import Path

import numpy as np
import pytest
from BrainMVPLib import scene as ops
from BrainMVPLib.drawn import state_as_imported, state_of
from BrainMVPLib.labelmap import Labelmap
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmentations import import_labels
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting
from drawing import TUMOUR, draw, drawn, paint
from scenes import make_scene
from stock_server import AFFINE


def test_what_is_drawn_after_a_draft_or_a_warning_is_not_left_by_accident(opened, settle):
    opening, segmentation = Opening(opened), opened.state.segmentation
    Submitting(opened).submit("draft")
    settle(opened)
    for plane in (4, 5):  # the second after one click too many
        draw(segmentation, plane)
        opening.next_study()
        assert "not submitted as it is now" in opened.errors.pop()
    opening.next_study()
    settle(opened)
    assert (opened.errors, opened.state.study) == ([], "second")


def test_corrections_are_neither_set_aside_nor_left_with_a_version_by_accident(opened, settle):
    segmenting, opening, first = Segmenting(opened), Opening(opened), opened.state.segmentation
    draw(first)
    segmenting.segment()
    assert "has corrections that were not submitted" in opened.errors.pop()
    assert (opened.busy, opened.state.segmentation) == (False, first)
    segmenting.segment()
    settle(opened)
    assert opened.heard[-1].endswith(f"The one before is kept, hidden, as {first.GetName()}.")
    second = opened.state.segmentation
    assert second is not first
    segmenting.segment()  # nothing was drawn in it
    settle(opened)
    assert opened.errors == []
    Submitting(opened).submit("final")
    settle(opened)
    opening.next_study()
    assert opened.errors.pop().startswith(f"{first.GetName()} has corrections that were never submitted; ")
    assert opened.state.study == "first"
    opening.next_study()
    settle(opened)
    assert (opened.errors, opened.state.study) == ([], "second")


def test_what_is_drawn_during_an_inference_is_not_left_with_a_version_by_accident(opened, stock, settle):
    first = opened.state.segmentation
    stock.wrong["/infer/lesions"] = "slow"
    Segmenting(opened).segment()
    draw(first)
    stock.release.set()
    settle(opened)
    Submitting(opened).submit("final")
    settle(opened)
    Opening(opened).next_study()
    assert f"{first.GetName()} has corrections" in opened.errors.pop()


@pytest.mark.parametrize("values", [(2, 1, 3), ()])
def test_a_segmentation_is_at_first_as_its_label_map(scene, volume, values):
    labels = Labelmap.of(drawn(values))
    segmentation = import_labels(
        scene, labels, TUMOUR, volume(drawn((1,)).astype(np.int16), AFFINE), "s", "it"
    )
    assert state_of(segmentation) == state_as_imported(labels, TUMOUR)


def test_what_was_submitted_may_be_left_after_the_scene_was_opened_again(scene, volume, reopened):
    reference = volume(drawn((1,)).astype(np.int16), AFFINE)
    segmentation = import_labels(scene, Labelmap.of(drawn((2, 1, 3))), TUMOUR, reference, "s", "it")
    before = state_of(segmentation)
    again = reopened(scene).GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert state_of(again) == before
    paint(again, 2, (slice(4, 6), slice(5, 7), slice(6, 9)))
    assert state_of(again) != before


def test_what_is_drawn_while_the_next_study_comes_stays(opened, stock, settle):
    Submitting(opened).submit("final")
    settle(opened)
    nodes, segmentation = opened.scene.GetNumberOfNodes(), opened.state.segmentation
    stock.wrong["/datastore/image"] = "slow"
    Opening(opened).next_study()
    draw(segmentation)
    stock.release.set()
    settle(opened)
    assert "drawn while the next study came" in opened.errors.pop()
    assert (opened.state.segmentation, opened.state.study) == (segmentation, "first")
    assert opened.scene.GetNumberOfNodes() == nodes
    assert "POST /studies/release" in stock.calls
    assert len(list((opened.folder / "work").glob("study-*"))) == 1


@pytest.mark.parametrize(("suffix", "stays"), [(".mrml", True), (".mrb", False)])
def test_the_files_that_a_saved_scene_names_stay_when_the_study_is_left(
    opened, settle, tmp_path, suffix, stays
):
    scene, saved = opened.scene, tmp_path / f"first{suffix}"
    file = opened.reference()[1].GetStorageNode().GetFileName()
    voxels = ops.voxels(opened.reference()[1]).copy()
    scene.SetURL(str(saved))
    assert scene.Commit(str(saved)) if stays else scene.WriteToMRB(str(saved))
    Submitting(opened).submit("final")
    settle(opened)
    Opening(opened).next_study()
    settle(opened)
    assert opened.state.study == "second"
    assert Path(file).is_file() == stays
    again = make_scene()
    again.SetURL(str(saved))
    assert again.Connect() if stays else again.ReadFromMRB(str(saved))
    np.testing.assert_array_equal(ops.voxels(again.GetFirstNodeByName("first Image")), voxels)
    second = opened.reference()[1].GetStorageNode().GetFileName()
    Submitting(opened).start_empty()
    Submitting(opened).submit("final")
    settle(opened)
    Opening(opened).next_study()  # of this one the saved scene knows nothing
    settle(opened)
    assert not Path(second).is_file()
