"""Only what the server lacks of a user's own study goes up, on the real scene and to a real server."""

import shutil

import numpy as np
from BrainMVPLib import scene as ops
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting

from brainmvp.volume import read_volume


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
