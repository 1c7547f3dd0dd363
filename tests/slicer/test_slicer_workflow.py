"""A study from the server to the server: next, segment, correct, submit, next; on the real scene and a real server."""

import json
import shutil
from itertools import count

import numpy as np
import pytest
import requests
from BrainMVPLib import scene as ops
from BrainMVPLib import views
from BrainMVPLib.drawn import export_labels
from BrainMVPLib.labelmap import Labelmap, read_labelmap
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmentations import import_labels
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting
from BrainMVPLib.training import Training
from test_slicer_labels import paint

from brainmvp.volume import read_volume

_NUMBERS = count(1)


@pytest.fixture
def connected(session, server, settle):
    session.connect(server.url)
    settle(session)
    assert session.errors == []
    session.state.annotator = f"annotator{next(_NUMBERS)}"
    session.state.model = "tumour"
    session.state.strategy = "sequential"
    return session


@pytest.fixture
def new_study(server, write_study):
    names = []

    def make(sequences):
        names.append(f"case{next(_NUMBERS):03d}")
        return write_study(names[-1], sequences, server.studies)

    yield make
    for name in names:
        shutil.rmtree(server.studies / name, ignore_errors=True)


def nodes(scene):
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def test_a_study_goes_all_the_way_and_the_next_one_takes_its_place(
    connected, server, settle, new_study, volume, scene
):
    session = connected
    first, second = new_study("T1CE FLAIR T1 T2"), new_study("T1CE FLAIR")
    mine = volume(np.ones((4, 5, 6), np.int16), np.eye(4), "my own scan")
    before = nodes(scene)
    opening, segmenting, submitting = Opening(session), Segmenting(session), Submitting(session)
    opening.next_study()
    settle(session)
    assert session.errors == []
    assert session.state.study == first.name
    assert {row.sequence: row.note for row in session.rows()} == dict.fromkeys(
        ("T1", "T1CE", "T2", "FLAIR"), "Found: from the server"
    )
    reference = session.reference()[1]
    segmenting.segment()
    settle(session)
    assert session.errors == []
    segmentation = session.state.segmentation
    assert "Segmented by tumour@" in session.heard[-1]
    assert {"Downloading the result"} <= set(session.steps)
    assert not any("Uploading" in step for step in session.steps)  # the server has it all

    labels = export_labels(segmentation, submitting.table(), reference)
    segment = segmentation.GetSegmentation().GetNthSegment(1)
    from vtk.util import numpy_support

    image = segment.GetRepresentation("Binary labelmap")
    if image.GetPointData().GetScalars() is not None and labels.any():
        array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        array[array == segment.GetLabelValue()] = 0
        image.Modified()
    corrected = np.where(labels == 2, 0, labels)
    np.testing.assert_array_equal(export_labels(segmentation, submitting.table(), reference), corrected)

    submitting.submit("final", opening.next_study)
    settle(session)
    assert session.errors == []
    assert session.state.study == second.name
    stored = read_volume(server.studies / "labels" / "final" / f"{first.name}.nrrd")
    original = read_volume(first / f"{first.name}_t1ce.nii.gz")
    assert stored.same_grid(original, 1e-4)
    counts = np.bincount(stored.data.ravel().astype(int), minlength=4)
    np.testing.assert_array_equal(counts, np.bincount(corrected.ravel(), minlength=4))
    change = {c.name: c for c in submitting.changes}["Peritumoural oedema"]
    assert change.dice in (0, None)
    assert change.after_ml == 0
    notes = json.loads((server.studies / ".brainmvp" / "datastore_v2.json").read_text())
    info = notes["objects"][first.name]["labels"]["final"]["info"]
    assert info["annotator"] == session.state.annotator
    assert info["model"].startswith("tumour@")
    assert info["task"] == "tumour"
    assert before <= nodes(scene)
    assert scene.GetNodeByID(mine.GetID()) is mine
    assert len(list((session.folder / "work").glob("study-*"))) == 1  # the downloads of the first are gone
    assert all(
        node.GetAttribute(ops.STUDY) != first.name for node in ops.nodes_of(scene, "vtkMRMLDisplayableNode")
    )


def test_a_draft_comes_back_as_it_was_drawn(connected, settle, new_study):
    session, opening = connected, Opening(connected)
    study = new_study("T1CE FLAIR T1 T2")
    opening.next_study()
    settle(session)
    Segmenting(session).segment()
    settle(session)
    reference, table = session.reference()[1], Submitting(session).table()
    labels = export_labels(session.state.segmentation, table, reference)
    assert labels.any()
    Submitting(session).submit("draft")
    settle(session)
    opening.next_study()  # there is no other one
    settle(session)
    assert (session.errors, session.state.study) == ([], study.name)
    assert session.heard[-1].endswith("Your draft is open, too.")
    assert session.state.facts["model"].startswith("tumour@")
    again = export_labels(session.state.segmentation, Submitting(session).table(), session.reference()[1])
    np.testing.assert_array_equal(again, labels)
    opening.next_study()  # which nothing keeps from being left
    settle(session)
    assert session.errors == []


def test_a_draft_comes_back_and_is_taken_when_its_study_has_gained_a_sequence(
    connected, server, settle, new_study
):
    session, opening = connected, Opening(connected)
    study = new_study("FLAIR T2")
    opening.next_study()
    settle(session)
    Segmenting(session).segment()
    settle(session)
    Submitting(session).submit("draft")
    settle(session)
    (draft,) = (server.studies / "labels" / "draft").glob(f"{study.name}.*")
    drawn = read_volume(draft).data
    scan, other = (study / f"{study.name}_{name}.nii.gz" for name in ("flair", "t2"))
    shutil.copy(other, study / f"{study.name}_t1ce.nii.gz")
    opening.next_study()
    settle(session)
    assert session.heard[-1].endswith("T2. Your draft is open, too.")
    Submitting(session).submit("final")
    settle(session)
    assert session.errors == []
    (label,) = (server.studies / "labels" / "final").glob(f"{study.name}.*")
    label = read_volume(label)
    assert label.same_grid(read_volume(scan))
    np.testing.assert_array_equal(label.data, drawn)


def test_left_handed_files_come_back_in_their_own_order(connected, server, settle, new_study):
    session = connected
    study = new_study("DWI ADC FLAIR")  # the third is LAS
    (study / "study.json").write_text(json.dumps({"sequences": {"DWI": f"{study.name}_flair.nii.gz"}}))
    Opening(session).next_study()
    settle(session)
    assert session.state.model == "stroke"
    submitting = Submitting(session)
    submitting.start_empty()
    node = session.reference()[1]
    file = read_volume(study / f"{study.name}_flair.nii.gz")
    assert np.linalg.det(file.affine[:3, :3]) < 0 < np.linalg.det(ops.affine(node)[:3, :3])
    submitting.submit("draft")
    settle(session)
    assert session.errors == []
    assert read_volume(server.studies / "labels" / "draft" / f"{study.name}.nrrd").same_grid(file, 1e-4)


def test_a_folder_goes_up_once_and_compressed(connected, server, settle, write_study, tmp_path, new_study):
    session = connected
    folder = write_study("Anna B.", "T1CE FLAIR T2")
    opening, segmenting = Opening(session), Segmenting(session)
    opening.open_folder(folder)
    settle(session)
    assert [row.note[:6] for row in session.rows()] == ["Missin", "Found:", "Found:", "Found:"]
    segmenting.segment()
    settle(session)
    assert session.errors == []
    uploads = [step for step in session.steps if step.startswith("Uploading")]
    assert {"Uploading T1CE", "Uploading FLAIR", "Uploading T2"} == set(uploads)
    sent = server.studies / session.state.study
    assert sent.name.startswith("Anna-B-")
    assert (sent / "t1ce.nii.gz").read_bytes() == (folder / "Anna B._t1ce.nii.gz").read_bytes()
    assert "Without T1" in session.heard[-1]

    first = session.state.segmentation
    session.steps.clear()
    segmenting.segment()
    settle(session)
    assert not any(step.startswith("Uploading") for step in session.steps)
    assert first.GetName().endswith("(version 1)")
    assert not first.GetDisplayNode().GetVisibility()
    assert session.state.segmentation is not first

    # Another session, as after Slicer was started again, finds out that the server has these files.
    segmenting = Segmenting(session)
    opening.open_folder(folder)
    opening.open_folder(folder)  # the result was not submitted
    settle(session)
    segmenting.segment()
    settle(session)
    assert session.errors[1:] == []
    assert not any(step.startswith(("Uploading", "Packing")) for step in session.steps)
    assert session.state.study == sent.name
    shutil.rmtree(sent)


def change(node):
    """Change a voxel, as a filter of Slicer would."""
    ops.voxels(node)[0, 0, 0] += 1
    node.GetImageData().GetPointData().GetScalars().Modified()
    node.GetImageData().Modified()


def test_of_the_user_s_own_study_only_what_was_changed_goes_up_again(
    connected, server, settle, write_study, scene, reopened, session_on
):
    """After the scene was saved and opened, too, where the volumes lie in other files and in another order."""
    session = connected
    folder = write_study("own", "T1CE FLAIR T2")
    Opening(session).open_folder(folder)
    settle(session)
    Segmenting(session).segment()
    settle(session)
    assert session.errors == []
    first = session.state.study

    def segmented_in(opened):
        """Segment again in a scene that was opened, and return the session."""
        later = session_on(opened, opened.GetFirstNodeByClass("vtkMRMLScriptedModuleNode"))
        later.connect(server.url)
        settle(later)
        Segmenting(later).segment()
        settle(later)
        assert later.errors == []
        return later

    opened = reopened(scene)
    again = segmented_in(opened)
    assert again.state.study == first
    assert not any(step.startswith(("Uploading", "Packing")) for step in again.steps)
    Submitting(again).submit("final")
    settle(again)
    assert again.errors == []
    stored = read_volume(server.studies / "labels" / "final" / f"{first}.nrrd")
    assert stored.same_grid(read_volume(folder / "own_t1ce.nii.gz"), 1e-4)

    # Changed, then saved: what the scene holds is no longer what its notes say.
    change(again.chosen_volumes()["T2"])
    third = segmented_in(reopened(opened))
    moved = {step for step in third.steps if step.startswith(("Uploading", "Packing"))}
    assert moved == {"Packing T2", "Uploading T2"}
    assert third.state.study != first
    now = server.studies / third.state.study
    for name in ("t1ce.nii.gz", "flair.nii.gz"):
        assert (now / name).read_bytes() == (server.studies / first / name).read_bytes()
    node = third.chosen_volumes()["T2"]
    sent = read_volume(now / "t2.nrrd")
    np.testing.assert_allclose(sent.affine, ops.affine(node), atol=1e-9)
    np.testing.assert_array_equal(sent.data.transpose(2, 1, 0), ops.voxels(node))
    shutil.rmtree(server.studies / first)
    shutil.rmtree(now)


def test_opening_can_be_left_and_fail_without_a_trace(session, settle, write_study, scene):
    opening = Opening(session)
    opening.open_folder(write_study("first", "T1CE FLAIR"))
    settle(session)
    before = nodes(scene)
    second = write_study("second", "T1CE FLAIR T2")
    opening.open_folder(second)
    for _ in range(3):  # one volume at a time: the panel is alive in between
        session.background.drain()
    assert len(nodes(scene)) > len(before)
    assert [row.note[:6] for row in session.rows()] == ["Missin", "Found:", "Missin", "Found:"]
    session.leave()
    assert nodes(scene) == before
    (second / "second_t2.nii.gz").write_bytes(b"no image")
    opening.open_folder(second)
    settle(session)
    assert "second_t2.nii.gz cannot be read" in session.errors.pop()
    assert nodes(scene) == before
    assert session.state.study_name == "first"


def test_the_uncertainty_comes_on_demand_and_goes_with_the_result(connected, settle, new_study, scene):
    session = connected
    new_study("T1CE FLAIR")
    segmenting = Segmenting(session)
    Opening(session).next_study()
    settle(session)
    segmenting.uncertainty.toggle()
    assert "run Auto-segment first" in session.errors.pop()
    segmenting.segment()
    settle(session)
    views.compare(scene, session.chosen_volumes(), lambda names: None)
    segmenting.uncertainty.toggle()
    settle(session)
    assert session.errors == []
    uncertain = session.state.uncertainty
    assert ops.same_grid(uncertain, session.reference()[1])
    composite = views.composite_of(scene, "BrainMVP1")
    assert composite.GetForegroundVolumeID() == uncertain.GetID()
    segmenting.uncertainty.toggle()
    assert composite.GetForegroundVolumeID() is None
    segmenting.segment()
    settle(session)
    assert session.state.uncertainty is None


def test_skip_and_draft_and_nothing_left(connected, server, settle, new_study):
    session = connected
    study = new_study("T1CE FLAIR")
    opening, submitting = Opening(session), Submitting(session)
    opening.next_study()
    settle(session)
    submitting.skip("  ")
    assert "Say why" in session.errors.pop()
    submitting.skip("moved during the scan")
    settle(session)
    assert session.heard[-1] == f"{study.name} is skipped."
    shutil.rmtree(study)
    for folder in server.studies.iterdir():
        if (
            folder.is_dir()
            and folder.name not in ("labels", ".brainmvp")
            and not (server.studies / "labels" / "final" / f"{folder.name}.nrrd").exists()
        ):
            shutil.rmtree(folder)
    opening.next_study()
    settle(session)
    assert "nothing left" in session.heard[-1]
    new_study("T1CE FLAIR")
    requests.post(f"{server.url}/activelearning/random", json={"annotator": "another"}, timeout=30)
    opening.next_study()
    settle(session)
    assert session.heard[-1].startswith("Other annotators have all of the studies without a final label, 1;")


def test_unsubmitted_work_is_not_left_by_accident(connected, settle, new_study):
    session = connected
    new_study("T1CE FLAIR"), new_study("T1CE FLAIR")
    opening, submitting = Opening(session), Submitting(session)
    opening.next_study()
    settle(session)
    study = session.state.study
    submitting.start_empty()
    opening.next_study()
    assert "not submitted as it is now" in session.errors.pop()
    assert session.state.study == study
    opening.next_study()
    settle(session)
    assert session.state.study not in ("", study)


def test_a_saved_scene_goes_on_where_it_was(
    connected, server, settle, new_study, scene, reopened, session_on
):
    """The volumes and segments in the bundle are in Slicer's order; the label still goes up in the file's own."""
    session = connected
    study = new_study("DWI ADC FLAIR")  # the third is LAS
    (study / "study.json").write_text(json.dumps({"sequences": {"DWI": f"{study.name}_flair.nii.gz"}}))
    Opening(session).next_study()
    settle(session)
    reference = session.reference()[1]
    drawn = np.zeros(ops.voxels(reference).shape, np.uint8)
    drawn[3:8, 12:25, 20:31] = 1
    Segmenting(session).segment()
    settle(session)
    table = Submitting(session).table()
    fresh = import_labels(scene, Labelmap.of(drawn), table, reference, "drawn", "it")
    ops.mark(fresh, study.name, "segmentation")
    session.state.set_segmentation(fresh.GetID())

    opened = reopened(scene)
    again = session_on(opened, opened.GetFirstNodeByClass("vtkMRMLScriptedModuleNode"))
    for name in ("study", "study_name", "model", "facts", "proposal", "from_server", "annotator", "url"):
        assert getattr(again.state, name) == getattr(session.state, name), name
    assert again.chosen_volumes().keys() == session.chosen_volumes().keys()
    np.testing.assert_array_equal(ops.voxels(again.reference()[1]), ops.voxels(reference))
    np.testing.assert_array_equal(export_labels(again.state.segmentation, table, again.reference()[1]), drawn)

    again.connect(server.url)
    settle(again)
    Submitting(again).submit("draft")
    settle(again)
    stored = server.studies / "labels" / "draft" / f"{study.name}.nrrd"
    file = read_volume(study / f"{study.name}_flair.nii.gz")
    assert np.linalg.det(file.affine[:3, :3]) < 0
    assert read_volume(stored).same_grid(file, 1e-4)
    Segmenting(again).segment()
    settle(again)
    assert again.errors == []
    assert not any(step.startswith("Uploading") for step in again.steps)  # the server still has it


@pytest.mark.parametrize("values", [(2, 1, 4), (2, 1, 3)])
def test_label_values_survive_the_way_to_the_server(connected, server, settle, new_study, scene, values):
    """Both of BraTS' conventions for enhancing tumour: 4 until 2021, 3 since 2023."""
    session = connected
    study = new_study("T1CE FLAIR T1 T2")
    names = {s.value: s.name for s in session.tasks["tumour"].table.structures}
    declared = {names[min(value, 3)]: value for value in values}
    session.info["models"]["tumour"]["labels"] = declared  # as a server of that convention declares it
    Opening(session).next_study()
    settle(session)
    reference, table = session.reference()[1], Submitting(session).table()
    assert sorted(table.values) == sorted(values)
    labels = np.zeros(ops.voxels(reference).shape, np.uint8)
    for number, value in enumerate(values):
        labels[8 + number : 30 - number, 10 + number : 35 - number, 12 + number : 30 - 2 * number] = value
    segmentation = import_labels(scene, Labelmap.of(labels), table, reference, "s", "it")
    ops.mark(segmentation, study.name, "segmentation")
    session.state.set_segmentation(segmentation.GetID())
    box = (slice(8, 12), slice(12, 17), slice(13, 20))
    paint(segmentation, table.values.index(max(values)), box)
    labels[box] = max(values)
    Submitting(session).submit("final")
    settle(session)
    assert session.errors == []
    stored = server.studies / "labels" / "final" / f"{study.name}.nrrd"
    read = read_labelmap(stored, ops.affine(reference), labels.shape, "the label", "T1CE")
    np.testing.assert_array_equal(read.voxels, labels)
    query = {"label": study.name, "tag": "final"}
    assert (
        requests.get(f"{server.url}/datastore/label", params=query, timeout=60).content == stored.read_bytes()
    )


def test_training_versions_and_going_back(connected, settle, tiny_models):
    session = connected
    training = Training(session)
    training.ask()
    settle(session)
    assert training.in_words()
    versions = training.versions()
    assert [entry["name"] for entry in versions] == ["tumour"] * len(versions)
    served = next(entry["version"] for entry in versions if entry["served"])
    other = next((entry["version"] for entry in versions if entry["version"] != served), served)
    training.restore(other)
    settle(session)
    assert next(entry["version"] for entry in training.versions() if entry["served"]) == other
    training.restore(served)
    settle(session)
    assert session.errors == []
    training.restore(99)
    settle(session)
    assert session.errors
