"""Only what the server lacks of a user's own study goes up, on the real scene and to a real server."""

import shutil

import numpy as np
from BrainMVPLib import scene as ops
from BrainMVPLib.drawn import export_labels
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting
from drawing import change, fill

from brainmvp.volume import read_volume


def test_a_folder_goes_up_once_and_compressed(connected, server, settle, write_study):
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


def test_what_was_drawn_without_a_proposal_goes_up_after_its_study(connected, server, settle, write_study):
    session = connected
    folder = write_study("drawn", "ADC T1 DWI")  # the third is LAS
    session.state.model = "stroke"
    Opening(session).open_folder(folder)
    settle(session)
    submitting = Submitting(session)
    submitting.start_empty()
    node = session.reference()[1]
    fill(session.state.segmentation, node)
    drawn = export_labels(session.state.segmentation, submitting.table(), node)
    assert drawn.sum() == 27
    client, session.client = session.client, None
    submitting.submit("final")
    assert "No server is connected" in session.errors.pop()
    session.client = client
    submitting.submit("final")
    settle(session)
    assert session.errors == []
    study = session.state.study
    assert study.startswith("drawn-")
    assert f"The final label of {study} is stored" in session.heard[-1]
    assert {file.name for file in (server.studies / study).iterdir()} == {"adc.nii.gz", "dwi.nii.gz"}
    label, file = (
        read_volume(path)
        for path in (server.studies / "labels" / "final" / f"{study}.nrrd", folder / "drawn_dwi.nii.gz")
    )
    assert label.same_grid(file, 1e-4)
    assert np.linalg.det(file.affine[:3, :3]) < 0
    assert label.data.sum() == 27
    calls = len(session.steps)
    submitting.submit("draft")
    settle(session)
    assert session.errors == []
    assert set(session.steps[calls:]) <= {"Submit", "Submitting"}  # the study is there
    shutil.rmtree(server.studies / study)


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


def test_a_study_of_the_server_that_is_changed_here_goes_up_as_its_copy(connected, server, settle, new_study):
    session, study = connected, new_study("T1CE FLAIR")
    Opening(session).next_study()
    settle(session)
    before = set(server.studies.iterdir())
    change(session.chosen_volumes()["FLAIR"])
    Segmenting(session).segment()
    settle(session)
    assert (session.errors, session.state.study) == ([], study.name)
    (copy,) = set(server.studies.iterdir()) - before
    assert session.client.image_info(copy.name)["copy_of"] == study.name
    shutil.rmtree(copy)


def test_who_segments_a_folder_that_another_one_has_is_told(connected, server, settle, write_study):
    session, first = connected, connected.annotator
    Opening(session).open_folder(write_study("shared", "T1CE FLAIR"))
    for session.annotator in (first, "Ben"):
        settle(session)
        Segmenting(session).segment()
        settle(session)
        assert session.errors == []
        told = f"{session.state.study} is with {first} until"
        assert (told in session.heard[-1]) == (session.annotator == "Ben")
    shutil.rmtree(server.studies / session.state.study)


def test_an_own_study_that_is_changed_is_proposed_once(connected, server, settle, write_study):
    session = connected
    Opening(session).open_folder(write_study("twice", "T1CE FLAIR"))
    settle(session)
    states = []
    for _ in range(3):
        Segmenting(session).segment()
        settle(session)
        assert session.errors == []
        states.append(session.state.study)
        if len(states) == 2:
            Submitting(session).submit("final")
            settle(session)
        change(session.chosen_volumes()["FLAIR"])
    assert len(set(states)) == 3
    copies = [session.client.image_info(study).get("copy_of") for study in states]
    assert copies == [states[1], "", states[1]]  # the second one is labelled
    for study in states:
        shutil.rmtree(server.studies / study)
