"""Whatever is drawn reaches the server once, as it is, or somebody is told."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from BrainMVPLib import scene as ops
from BrainMVPLib.background import Background
from BrainMVPLib.client import Client
from BrainMVPLib.drawn import export_labels, state_as_imported, state_of
from BrainMVPLib.errors import ServerError
from BrainMVPLib.grids import file_affine
from BrainMVPLib.labelmap import Labelmap
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmentations import import_labels
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.serving import _answers
from BrainMVPLib.submitting import Submitting
from BrainMVPLib.transport import Transport
from stock_server import AFFINE
from test_slicer_labels import TUMOUR, drawn, paint, segments
from vtk.util import numpy_support


def draw(segmentation, plane=4):
    """Draw as Slicer's effects may, which leaves the segmentation's own time as it was."""
    before = segmentation.GetSegmentation().GetMTime()
    paint(segmentation, 0, (slice(plane, plane + 1), slice(5, 8), slice(4, 8)))
    assert segmentation.GetSegmentation().GetMTime() == before


def until(happened, seconds=20):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def opened(study, stock, settle, tmp_path):
    """A session on a segmented study that the server proposed; it proposes another one next."""
    image = np.arange(1680, dtype=np.int16).reshape(10, 12, 14)
    write_nrrd(str(tmp_path / "image.nrrd"), image, AFFINE)
    for name in ("first", "second"):
        stock.images[name] = (tmp_path / "image.nrrd").read_bytes()
    ops.remove(study.scene, study.reference()[1])
    stock.proposal = {"id": "first", "name": "first.nrrd"}
    Opening(study).next_study()
    settle(study)
    Segmenting(study).segment()
    settle(study)
    assert (study.errors, study.state.study) == ([], "first")
    stock.proposal = {"id": "second", "name": "second.nrrd"}
    return study


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
    (worker,) = (t for t in threading.enumerate() if t.name == "BrainMVP Next study")
    worker.join(20)
    for _ in range(drains):
        opened.background.drain()
    assert (opened.busy, opened.state.study) == (True, "first")
    opened.leave()
    settle(opened)
    assert stock.calls.count("POST /studies/release") == 1
    assert (opened.errors, opened.state.study) == ([], "first")
    assert opened.scene.GetNumberOfNodes() == nodes
    assert set((opened.folder / "work").glob("study-*")) == folders


@pytest.mark.parametrize("annotator", ["Anna", "Ben"])
def test_an_own_draft_comes_back_with_its_study_and_is_not_given_back(
    opened, stock, settle, tmp_path, annotator
):
    box = np.zeros((10, 12, 14), np.uint8)
    box[3:6, 4:8, 5:9] = 2
    write_nrrd(str(tmp_path / "draft.nrrd"), box, AFFINE)
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
    write_nrrd(str(tmp_path / "draft.nrrd"), box, AFFINE)
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
    write_nrrd(str(tmp_path / "draft.nrrd"), np.zeros((3, 4, 5), np.uint8), AFFINE)
    stock.drafts["second"] = (tmp_path / "draft.nrrd").read_bytes(), {"annotator": "", "name": "second.nrrd"}
    stock.proposal["lease"] = {"annotator": "", "draft": True}
    Submitting(opened).submit("final")
    settle(opened)
    Opening(opened).next_study()
    settle(opened)
    assert "The draft does not lie on the grid" in opened.errors.pop()
    assert (opened.state.study, opened.state.segmentation) == ("second", None)


@pytest.mark.parametrize(("suffix", "stays"), [(".mrml", True), (".mrb", False)])
def test_the_files_that_a_saved_scene_names_stay_when_the_study_is_left(
    opened, settle, tmp_path, suffix, stays
):
    from conftest import make_scene

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


def test_whose_label_another_one_takes_the_place_of_is_told(opened, stock, settle):
    stock.stored = {"replaced": "Ben"}
    Submitting(opened).submit("final")
    settle(opened)
    assert "It takes the place of the label of Ben" in opened.heard[-1]


def test_who_leaves_a_submission_is_told_that_the_label_goes_out(opened, stock, settle):
    stock.wrong["/datastore/label"] = "slow"
    Submitting(opened).submit("final")
    until(lambda: "PUT /datastore/label" in stock.calls)
    opened.leave()
    assert opened.heard[-1] == "Submit: left. The label of first is kept here and sent."
    stock.release.set()
    until(lambda: stock.received)
    opened.send_waiting()
    settle(opened)
    until(lambda: opened.outbox.letters() == [])
    Opening(opened).next_study()  # nothing is left unsent
    settle(opened)
    assert (opened.errors, opened.state.study) == ([], "second")
    assert "POST /studies/release" not in stock.calls


def test_a_label_that_is_refused_after_it_was_left_stays_and_says_why(opened, stock, settle, monkeypatch):
    refuse = threading.Event()

    def refused(*args):
        refuse.wait(20)
        raise ServerError("It does not fit.", status=422)

    monkeypatch.setattr(Client, "submit_label", refused)
    Submitting(opened).submit("final")
    until(lambda: opened.outbox.letters())
    opened.leave()
    refuse.set()
    until(lambda: opened.outbox.letters()[0].problem == "It does not fit.")


def test_an_older_label_that_waits_never_comes_after_the_newer_one(opened, stock, settle):
    stock.wrong["/datastore/label"] = 503
    for tag in ("draft", "final"):
        Submitting(opened).submit(tag)
        settle(opened)
    stock.wrong.clear()
    draw(opened.state.segmentation)
    Submitting(opened).submit("final")
    settle(opened)
    opened.send_waiting()
    settle(opened)
    assert opened.outbox.letters() == []
    assert len(stock.received) == 1


def test_a_label_that_waits_outlives_the_refusal_of_a_newer_one(opened, stock, settle):
    stock.wrong["/datastore/label"] = 503
    Submitting(opened).submit("final")
    settle(opened)
    waits = opened.outbox.letters()
    stock.wrong["/datastore/label"] = 422
    draw(opened.state.segmentation)
    Submitting(opened).submit("final")
    settle(opened)
    assert len(opened.errors) == 1
    assert opened.outbox.letters() == waits != []


def test_a_label_outlives_the_scene_that_is_closed_while_it_goes_up(opened, stock):
    Submitting(opened).submit("final")
    opened.close()
    for thread in threading.enumerate():
        if thread.name == "BrainMVP Submit":
            thread.join(60)
    assert opened.outbox.letters() or any(body.endswith(b"--\r\n") for body in stock.received)


@pytest.mark.parametrize(("status", "again"), [(404, False), (401, True), (429, True), (507, True)])
def test_what_was_not_sent_is_not_called_sent_and_hinders_no_other(opened, stock, settle, status, again):
    stock.wrong["/datastore/label"] = 503
    Submitting(opened).submit("final")
    settle(opened)
    Submitting(opened).submit("draft")
    settle(opened)
    stock.wrong["/datastore/label"] = status
    heard, calls = len(opened.heard), len(stock.calls)
    opened.send_waiting()
    settle(opened)
    assert stock.calls[calls:].count("PUT /datastore/label") == 2
    assert (opened.heard[heard:], opened.errors, len(opened.outbox.letters())) == ([], [], 2)
    opened.send_waiting(asked=True)  # by its button
    settle(opened)
    assert opened.errors.pop()
    stock.wrong.clear()
    opened.send_waiting()
    settle(opened)
    assert len(stock.received) == (2 if again else 0)
    opened.send_waiting(asked=True)
    settle(opened)
    assert (len(stock.received), opened.outbox.letters()) == (2, [])


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


def test_a_label_lies_on_the_reference_that_the_server_names(of_many, settle):
    of_many.state.model, of_many.state.reference = "stroke", "T1CE"
    Submitting(of_many).start_empty()
    fill(of_many.state.segmentation, of_many.reference()[1])
    labels, grid, _ = submitted(of_many, settle)
    np.testing.assert_allclose(grid, AFFINE @ np.diag([2, 2, 2, 1]), atol=1e-6)
    assert labels.any()


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


def fill(segmentation, reference):
    """Draw a box of 27 voxels in the first segment."""
    box = np.zeros(ops.voxels(reference).shape, np.uint8)
    box[8:11, 8:11, 8:11] = 1
    image = ops.geometry_of(reference)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(box.ravel(), deep=True))
    segments(segmentation)[0].AddRepresentation("Binary labelmap", image)
    segments(segmentation)[0].SetLabelValue(1)


@pytest.mark.parametrize(("ago", "told"), [(90, True), (-3600, False), (2e7, False)])
def test_no_impossible_time_is_told(of_many, settle, ago, told):
    Submitting(of_many).start_empty()
    of_many.state.opened = time.time() - ago
    assert ("seconds" in submitted(of_many, settle)[2]) == told


def test_a_proxy_is_not_asked_for_this_computer(stock, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Transport(stock.url).json("GET", "/info/")["name"] == "Stock"
    assert _answers(stock.url)


def test_steps_that_are_left_are_undone_once_and_let_go():
    background, undone = Background(), []
    steps = ((name, 0.5) for name in ("one", "two"))
    job = background.start_steps("Opening", steps, print, print, print, lambda: undone.append(1))
    background.drain()
    job.abandon()
    background.drain()
    background.close()
    assert undone == [1]
