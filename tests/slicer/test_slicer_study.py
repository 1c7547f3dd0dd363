"""Which volume is which sequence, what is missing, and how it is shown."""

import sys

import numpy as np
import pytest
import slicer
from BrainMVPLib import measure, shared, views
from BrainMVPLib import scene as ops
from BrainMVPLib.labelmap import Labelmap
from BrainMVPLib.opening import Opening, why_in_words
from BrainMVPLib.session import Session
from BrainMVPLib.shared import sequence_teller, shared_package
from BrainMVPLib.study import VolumeFacts, assemble
from BrainMVPLib.submitting import changes_in_words
from BrainMVPLib.tables import load_tasks, task_of_model

TASKS = load_tasks(shared_package() / "tasks")
HEADERS = {
    "scan2": {"Modality": "MR", "SeriesDescription": "t1_mprage", "ContrastBolusAgent": "Gadovist", "EchoTime": 3.0,
              "RepetitionTime": 1900.0, "InversionTime": 900.0, "ScanningSequence": ("GR", "IR")},
    "scan3": {"Modality": "MR", "ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "SeriesDescription": "flair loc"},
}  # fmt: skip


def rows(names, chosen=None, left_empty=(), task="tumour", visits=()):
    tell = sequence_teller(lambda node_id: HEADERS.get(node_id, {}))
    volumes = [VolumeFacts(name, name, visit=dict(visits).get(name, "")) for name in names]
    return {row.sequence: row for row in assemble(TASKS[task], volumes, chosen or {}, left_empty, tell)}


def test_a_checkout_outweighs_a_copy_that_a_build_left_in_it(tmp_path, monkeypatch):
    module = tmp_path / "SlicerExtension" / "BrainMVP"
    copy, checkout = module / "Resources" / "Shared" / "brainmvp", tmp_path / "lib" / "brainmvp"
    monkeypatch.setattr(shared, "_MODULE", module)
    monkeypatch.setattr(sys, "path", [])
    for folder in (copy, checkout):  # an installed extension has the copy only
        folder.mkdir(parents=True)
        (folder / "sequences.py").touch()
        assert shared.shared_package() == folder


def test_names_and_headers_tell_sequences_and_a_header_outweighs_a_name():
    found = rows(["p_flair", "scan2", "scan3", "p_t2", "p_seg"])
    assert found["FLAIR"].chosen == "p_flair"
    assert found["T1CE"].chosen == "scan2"
    assert found["T2"].note == "Found: by its name"
    assert found["T1"].note == "Missing"


def test_two_claims_are_shown_until_the_user_decides():
    found = rows(["a_flair", "b_flair"])["FLAIR"]
    assert found.disputed
    assert found.claims == ("a_flair", "b_flair")
    assert found.chosen is None
    assert rows(["a_flair", "b_flair"], {"FLAIR": "b_flair"})["FLAIR"].chosen == "b_flair"
    assert rows(["a_flair"], left_empty=["FLAIR"])["FLAIR"].chosen is None
    assert rows(["a_flair"], {"FLAIR": "removed"})["FLAIR"].chosen == "a_flair"


def test_volumes_of_two_visits_are_not_mixed_unless_the_user_does():
    visits = {"a_flair": "1", "a_t2": "1", "b_t1": "2", "b_t2": "2"}
    volumes = [*visits, "p_t1ce"]
    found = rows(volumes, visits=visits)
    assert {row.chosen for row in found.values()} == {None}
    assert found["FLAIR"].note == "Choose: volumes of 2 visits were found"
    assert found["T2"].disputed
    found = rows(volumes, {"FLAIR": "a_flair"}, visits=visits)
    assert [found[s].chosen for s in ("FLAIR", "T2", "T1", "T1CE")] == ["a_flair", "a_t2", None, "p_t1ce"]
    assert found["T1"].note == "Missing; found in another visit"
    found = rows(volumes, {"FLAIR": "a_flair", "T1": "b_t1"}, visits=visits)
    assert found["T1"].chosen == "b_t1"
    assert found["T1"].note == "Chosen, but the volumes are of several visits"
    assert {row.chosen for row in rows(["a_flair", "a_t2", "p_t1"], visits=visits).values()} == {
        "a_flair", "a_t2", "p_t1", None,
    }  # fmt: skip


def test_the_visit_of_a_volume_is_that_of_its_header(scene, volume, tmp_path):
    voxels = np.ones((4, 5, 6), np.int16)
    headers = {volume(voxels, np.eye(4), f"p_{s}").GetID(): {"StudyInstanceUID": s} for s in ("flair", "t2")}
    session = Session(
        scene,
        scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"),
        tmp_path / "work",
        lambda node_id: headers[node_id],
    )
    session.state.model = "tumour"
    assert [row.note for row in session.rows() if row.claims] == [
        "Choose: volumes of 2 visits were found"
    ] * 2
    session.close()


@pytest.fixture
def two_patients(scene, volume, tmp_path):
    """Return a function that makes a session on FLAIR and T1CE of the server's study A, and a T2 of somebody else."""
    voxels, sessions = np.ones((4, 5, 6), np.int16), []

    def make(header):
        foreign = volume(voxels, np.eye(4), "B_t2").GetID()
        session = Session(
            scene,
            scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"),
            tmp_path / "work",
            lambda node_id: header if node_id == foreign else {},
        )
        for sequence in ("FLAIR", "T1CE"):
            node = volume(voxels, np.eye(4), f"A {sequence}")
            ops.mark(node, "A", "sequence", sequence)
            session.state.set_volume(sequence, node.GetID())
        session.state.study, session.state.study_name, session.state.from_server = "A", "A", True
        session.state.model = "tumour"
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


def notes(session):
    return {row.sequence: row.note for row in session.rows()}


@pytest.mark.parametrize("header", [{}, {"StudyInstanceUID": "1.2.3", "Modality": "MR"}])
def test_another_patient_s_volume_is_no_part_of_an_open_study_unless_it_is_chosen(two_patients, header):
    session = two_patients(header)
    assert notes(session)["T2"] == "Missing; found outside this study"
    assert set(session.chosen_volumes()) == {"FLAIR", "T1CE"}
    session.state.set_volume("T2", session.scene.GetFirstNodeByName("B_t2").GetID())
    assert notes(session)["T2"].startswith("Chosen")
    for sequence in ("FLAIR", "T1CE"):  # nor if nothing of the study is decided, as in a folder
        session.state.set_volume(sequence, None)
    session.state.set_volume("T2", None)
    assert set(session.chosen_volumes()) == {"FLAIR", "T1CE"}


def test_a_sequence_whose_series_the_server_left_out_is_not_called_missing(two_patients):
    session = two_patients({})
    reason = "1 slice is missing (after slice 6)"
    session.state.series = [{"series": 2, "what": "T1", "use": "left out", "reason": reason}]
    assert notes(session)["T1"] == f"Not used, series 2: {reason}"


def test_a_study_that_stays_in_the_scene_is_neither_mixed_with_the_next_one_nor_removed_with_it(
    two_patients, volume
):
    session = two_patients({})
    ops.mark(volume(np.ones((4, 5, 6), np.int16), np.eye(4), "A T2"), "A", "sequence", "T2")
    opening = Opening(session)
    opening.use_scene()
    ops.remove(session.scene, session.scene.GetFirstNodeByName("B_t2"))
    assert set(session.chosen_volumes()) == {"FLAIR", "T1CE", "T2"}
    flair = volume(np.ones((4, 5, 6), np.int16), np.eye(4), "C FLAIR")
    ops.mark(flair, "C", "sequence", "FLAIR")
    session.state.study_name = "C"
    assert set(session.chosen_volumes()) == {"FLAIR"}
    opening.use_scene()
    session.state.set_volume("FLAIR", flair.GetID())
    assert notes(session)["T2"] == "Missing; found in another visit"
    session.state.study_name = "A"  # proposed again
    opening.close_study()
    names = {volume.name for volume in ops.volumes(session.scene)}
    assert names == {"A FLAIR", "A T1CE", "A T2", "C FLAIR"}


def test_what_is_missing_is_said_with_what_it_means():
    task = TASKS["tumour"]
    assert task.what_is_missing(["T1", "T1CE", "T2", "FLAIR"]) == ""
    without = task.what_is_missing(["FLAIR", "T2"])
    assert without == "Without T1, T1CE, not offered: Tumour core, Enhancing tumour."
    assert task.what_is_missing(["T1", "T1CE", "FLAIR"]) == "Without T2, the result may be less exact."
    assert task.what_is_missing(["T1CE", "FLAIR"]) == (
        "Without T1, T2, what was bright before the contrast agent, such as blood, may pass for enhancement."
    )
    assert "needs FLAIR or T1CE or T2" in task.what_is_missing(["T1"])
    assert task.reference_of(["T2", "FLAIR"]) == "FLAIR"


def test_the_chosen_model_stays_where_it_suits_the_next_study_as_well():
    tumour, stroke = TASKS["tumour"], TASKS["stroke"]
    own = task_of_model("own", {"labels": ["core"], "sequences": ["T1CE", "FLAIR"]}, TASKS)
    assert own.suits(["T1", "T1CE", "T2", "FLAIR"], tumour)
    assert not own.suits(["T1", "T2", "FLAIR"], tumour)  # T1CE it cannot do without
    assert not tumour.suits(["DWI", "ADC", "FLAIR"], stroke)
    assert not stroke.suits(["T1", "T1CE", "T2", "FLAIR", "DWI"], tumour)


def test_a_model_of_any_server_has_its_own_table():
    task = task_of_model("x", {"labels": ["spleen", "liver"]}, TASKS)
    assert task.sequences == ("Image",)
    assert [(s.value, s.name) for s in task.table.structures] == [(1, "spleen"), (2, "liver")]
    assert len({s.color for s in task.table.structures}) == 2
    ours = task_of_model(
        "tumour", {"labels": {s.name: s.value for s in TASKS["tumour"].table.structures}}, TASKS
    )
    assert ours is TASKS["tumour"]
    other = task_of_model("tumour", {"labels": {"Enhancing tumour": 4, "background": 0}}, TASKS)
    assert [(s.value, s.code[1]) for s in other.table.structures] == [(4, "C113842")]
    tissue = TASKS["mrbrains-13"].table.structures[0].terminology
    assert "~SCT^123037004^Anatomical Structure~SCT^65216001^Cerebrospinal Fluid~" in tissue


def test_why_a_study_was_chosen_is_said():
    study = {
        "why": {"sentence": "It is unlike any labelled study."},
        "lease": {"expires": "2026-11-24T14:20:36"},
    }
    assert why_in_words(study) == "It is unlike any labelled study. Reserved for you until 14:20."
    assert why_in_words({}) == ""


def test_volumes_and_changes_are_those_of_the_voxels():
    table = TASKS["tumour"].table
    before = np.zeros((4, 5, 6), np.uint8)
    before[0, 0, :4] = 2
    after = before.copy()
    after[0, 0, 3] = 0
    after[1, 0, 0] = 2
    change = measure.changes(before, after, 0.5, table)[1]
    assert (change.before_ml, change.after_ml, change.dice) == (2.0, 2.0, 0.75)
    assert measure.volumes_ml(Labelmap.of(after).counts, 0.5, table)["Peritumoural oedema"] == 2.0
    np.testing.assert_array_equal(measure.unpack(measure.pack(after), after.shape), after)
    assert measure.unpack(measure.pack(after), (3, 5, 6)) is None
    small = measure.changes(before, after, 0.01, table)
    assert changes_in_words(small) == "Changed: Peritumoural oedema Dice 0.75, 0.04 to 0.04 mL."


@pytest.mark.parametrize("number", [1, 2, 4])
def test_each_sequence_gets_a_linked_view_and_one_click_leads_back(scene, volume, number):
    rng = np.random.default_rng(1)
    names = ["T1", "T1CE", "T2", "FLAIR"][:number]
    nodes = {
        name: volume(rng.integers(0, 900, (6, 7, 8)).astype(np.int16), np.eye(4), name) for name in names
    }
    before = scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement()
    fitted = []
    assert views.compare(scene, nodes, fitted.extend) == before
    assert len(fitted) == number
    shown = {
        n.GetLayoutName(): n for n in scene.GetNodesByClass("vtkMRMLSliceNode") if n.GetLayoutName() in fitted
    }
    for name, view in zip(names, fitted, strict=True):
        composite = views.composite_of(scene, view)
        assert composite.GetBackgroundVolumeID() == nodes[name].GetID()
        assert composite.GetLinkedControl()
        assert composite.GetHotLinkedControl()
        assert shown[view].GetLayoutLabel() == name
        assert shown[view].GetOrientation() == "Axial"
    assert len({node.GetViewGroup() for node in shown.values()}) == 1
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    assert crosshair.GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.ShowBasic
    assert (
        views.compare(scene, nodes, fitted.extend) == -1
    )  # shown already: what was before stays what it was
    views.restore(scene, before)
    assert scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement() == before
    assert crosshair.GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.NoCrosshair


@pytest.mark.parametrize("hole", [0, slice(None, 2)])
def test_voxels_that_are_no_numbers_leave_the_grey_scale(volume, hole):
    voxels = np.random.default_rng(0).uniform(100, 900, (10, 10, 10)).astype(np.float32)
    voxels[hole] = np.nan
    node = volume(voxels, np.eye(4))
    views.set_window(node)
    assert node.GetDisplayNode().GetWindowLevelMax() == pytest.approx(896, abs=6)


def test_the_grey_scale_is_set_once_and_then_the_user_s(volume):
    voxels = np.zeros((10, 10, 10), np.int16)
    voxels[2:8, 2:8, 2:8] = np.linspace(100, 900, 216).reshape(6, 6, 6)
    node = volume(voxels, np.eye(4))
    views.set_window(node)
    display = node.GetDisplayNode()
    assert display.GetWindowLevelMax() == pytest.approx(900, abs=10)
    assert display.GetWindowLevelMin() == pytest.approx(0, abs=110)
    display.SetWindowLevelMinMax(1, 2)
    views.set_window(node)
    assert display.GetWindowLevelMax() == 2
