"""A study from the server to the server: next, segment, correct, submit, next; on the real scene and a real server."""

import json
import shutil

import numpy as np
import pytest
import requests
from BrainMVPLib import measure, views
from BrainMVPLib import scene as ops
from BrainMVPLib.drawn import export_labels
from BrainMVPLib.labelmap import Labelmap, read_labelmap
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmentations import import_labels
from BrainMVPLib.segmenting import Segmenting, summary
from BrainMVPLib.sending import send
from BrainMVPLib.submitting import Submitting
from drawing import paint

from brainmvp.volume import read_volume


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
    point = measure.middle(labels, ops.affine(reference))
    for view in ops.nodes_of(scene, "vtkMRMLSliceNode"):  # each passes through what was found
        plane = view.GetSliceToRAS()
        offsets = [plane.GetElement(axis, 2) * (point[axis] - plane.GetElement(axis, 3)) for axis in range(3)]
        assert sum(offsets) == pytest.approx(0, abs=1e-3), view.GetLayoutName()
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
    assert info["annotator"] == session.annotator
    assert info["model"].startswith("tumour@")
    assert info["task"] == "tumour"
    assert before <= nodes(scene)
    assert scene.GetNodeByID(mine.GetID()) is mine
    assert len(list((session.folder / "work").glob("study-*"))) == 1  # the downloads of the first are gone
    assert all(
        node.GetAttribute(ops.STUDY) != first.name for node in ops.nodes_of(scene, "vtkMRMLDisplayableNode")
    )


def test_a_sequence_of_a_study_that_is_left_empty_is_not_looked_at(connected, server, settle, new_study):
    session, opening = connected, Opening(connected)
    study = new_study("T1CE FLAIR T2")
    opening.next_study()
    settle(session)
    assert session.state.study == study.name
    left_empty, studies = session.chosen_volumes()["T1CE"], set(server.studies.iterdir())
    opening.choose("T1CE", None)
    flair, t2, came = (study / f"{study.name}_{name}.nii.gz" for name in ("flair", "t2", "t1"))
    shutil.copy(t2, came)
    Segmenting(session).segment()
    settle(session)
    assert session.errors == []
    assert session.state.facts["sequences_used"] == ["T2", "FLAIR"]
    assert not any(step.startswith(("Packing", "Uploading")) for step in session.steps)

    def noted(tag):
        Submitting(session).submit(tag)
        settle(session)
        assert session.errors == []
        stored = read_volume(server.studies / "labels" / tag / f"{study.name}.nrrd")
        query = {"label": study.name, "tag": tag}
        info = requests.get(f"{server.url}/datastore/label/info", params=query, timeout=60).json()
        return stored, set(info["sequences"])

    label, sequences = noted("draft")
    assert label.same_grid(read_volume(flair), 1e-4)
    assert sequences == {"T2", "FLAIR"}
    opening.choose("T1CE", left_empty.GetID())  # of what it shows the proposal says nothing
    assert noted("final")[1] == {"T2", "FLAIR"}
    assert set(server.studies.iterdir()) - {server.studies / "labels"} == studies - {
        server.studies / "labels"
    }


def test_a_sequence_that_comes_while_a_study_is_compared_is_not_looked_at(
    connected, settle, new_study, monkeypatch
):
    study = new_study("T1CE FLAIR")
    Opening(connected).next_study()
    settle(connected)
    assert connected.state.study == study.name

    def send_while_one_comes(*args):
        sent = send(*args)
        shutil.copy(study / f"{study.name}_flair.nii.gz", study / f"{study.name}_t1.nii.gz")
        return sent

    monkeypatch.setattr("BrainMVPLib.segmenting.send", send_while_one_comes)
    Segmenting(connected).segment()
    settle(connected)
    assert connected.errors == []
    assert connected.state.facts["sequences_used"] == ["T1CE", "FLAIR"]


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
    assert uncertain.GetStorageNode() is None  # a saved scene would name a file that goes away
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


def test_a_saved_scene_goes_on_where_it_was(
    connected, server, settle, new_study, scene, reopened, session_on
):
    """The volumes and segments in the bundle are in Slicer's order; the label still goes up in the file's own."""
    session = connected
    study = new_study("DWI ADC FLAIR")  # the third is LAS
    (study / "study.json").write_text(json.dumps({"sequences": {"DWI": f"{study.name}_flair.nii.gz"}}))
    Opening(session).next_study()
    settle(session)
    assert session.state.model == "stroke"
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
    for name in ("study", "study_name", "model", "facts", "proposal", "from_server", "url"):
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


def test_what_is_known_of_the_scans_is_said_with_the_result():
    facts = {
        "model": "tumour@1",
        "sequences_filled": ["T2", "T1"],
        "sequences_flagged": {"T1": "series 2: 1 slice is missing"},
        "brain_doubt": "it is small",
        "minimum_lesion_ml": 0.1,
        "notes": ["T1CE covers 52 % of the brain"],
    }
    unused = "Without T2. T1 is not used, series 2: 1 slice is missing. Look at the brain: it is small."
    known = "Findings below 0.1 mL are not marked. T1CE covers 52 % of the brain."
    assert summary(facts) == f"Segmented by tumour@1. {unused} {known}"
