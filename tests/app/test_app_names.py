"""Labels stay with their studies, whatever these and others are called, and no name stops the server."""

import json
import os
from pathlib import Path

import dicom_files as habit
import numpy as np
import pytest
from dicom_files import write_series
from noted_folder import TUMOUR, annotators, labelled, opened, scan
from pydicom.uid import generate_uid

from brainmvp.annotation.state import AnnotationState
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.volume import Volume, write_volume


def test_a_study_is_not_put_where_it_would_hide_others(root: Path) -> None:
    store = labelled(root)
    with pytest.raises(BrainMVPError, match="siteA is a folder of studies") as refused:
        store.add_image("siteA", str(scan(root.parent / "t1ce.nii.gz")), {})
    assert refused.value.status == 409
    assert store.list_images() == ["p1", "p2", "p3"]
    store.remove_image("p2")
    scan(root / "siteA" / "p2" / "flair.nii.gz")
    assert store.json()["objects"]["p2"]["labels"] == {}


def test_what_a_training_prepared_of_a_study_goes_with_it(root: Path) -> None:
    store, prepared = labelled(root), root / ".brainmvp" / "prepared" / "tumour"
    for number, study in enumerate(["p1", "p2", "p1"]):
        write_json(prepared / f"key{number}.json", {"id": study})
        (prepared / f"key{number}.images.npy").touch()
    (prepared / "damaged.json").write_text("{")
    store.remove_image("p1")
    assert sorted(path.name for path in prepared.iterdir()) == [
        "damaged.json",
        "key1.images.npy",
        "key1.json",
    ]


def test_a_label_whose_study_was_renamed_is_told(root: Path) -> None:
    store = labelled(root)
    (root / "p1").rename(root / "p1-renamed")
    problems = store.status()["problems"]
    assert list(problems) == ["labels/final/p1"]
    assert "No study has this name" in problems["labels/final/p1"]
    (root / "p1-renamed").rename(root / "p1")
    assert store.status()["problems"] == {}


def test_a_dicom_study_keeps_its_label_when_one_of_the_same_name_comes(tmp_path: Path) -> None:
    def write(patient: str) -> None:
        volume = Volume(np.ones((24, 24, 12)), np.diag([2.0, 2, 4, 1]))
        write_series(tmp_path / patient / "DICOM", volume, generate_uid(), **habit.FLAIR)

    write("BERT")
    store = opened(tmp_path)
    assert not (
        tmp_path / ".brainmvp" / "ids.json"
    ).exists()  # nothing is called by it: it may still be arriving
    (tmp_path / "labels" / "final" / "DICOM.nii.gz").touch()
    assert store.status()["completed"] == 1
    write("ANNA")
    assert store.get_labeled_images() == ["DICOM"]
    bert, anna = store.studies()
    assert (bert.id, bert.folder.parent.name, anna.folder.parent.name) == ("DICOM", "BERT", "ANNA")
    assert store.status()["problems"] == {}
    # As it is after a release that kept no ids.
    (tmp_path / ".brainmvp" / "ids.json").unlink()
    store.refresh()
    (bert,) = [study.id for study in store.studies() if study.folder.parent.name == "BERT"]
    assert f"has another name now ({bert}, by its folder)" in store.status()["problems"]["labels/final/DICOM"]


def test_a_study_keeps_its_label_when_one_of_the_same_name_comes(root: Path) -> None:
    store = labelled(root)
    scan(root / "A" / "p2" / "flair.nii.gz")  # comes before siteA/p2
    assert store.study("p2").folder == root / "siteA" / "p2"
    assert list(store.status()["problems"]) == ["A/p2"]


def test_a_label_goes_to_no_study_of_the_same_name_while_its_own_is_away(root: Path) -> None:
    store, grid = labelled(root), np.eye(4)
    assert store.study("p2").folder == root / "siteA" / "p2"
    other = Volume(np.arange(60, dtype=np.int16)[::-1].reshape(3, 4, 5), grid)
    write_volume(other, root / "siteB" / "p2" / "flair.nii.gz")
    assert list(store.status()["problems"]) == ["siteB/p2"]
    away = (root / "siteA").rename(root.parent / "siteA")
    problem = store.status()["problems"]["siteB/p2"]
    assert "has the name of the labelled study siteA/p2, but other images" in problem
    assert problem.endswith(f"into {root / '.brainmvp' / 'ids.json'} and start the server again.")
    assert [case.id for case in AnnotationState(root).cases(TUMOUR, (TUMOUR,))] == ["p1"]
    away.rename(root / "siteA")
    assert store.study("p2").folder == root / "siteA" / "p2"
    assert annotators(store) == ["Anna", "Anna"]


def test_the_remedy_for_a_labelled_study_whose_images_all_changed_helps(root: Path) -> None:
    store, path = labelled(root), root / ".brainmvp" / "ids.json"
    write_volume(Volume(np.ones((3, 4, 5), np.int16), np.eye(4)), root / "siteA" / "p2" / "flair.nii.gz")
    (root / "siteA").rename(root / "done")
    assert "write where it lies now" in store.status()["problems"]["done/p2"]
    path.write_text(path.read_text("utf-8").replace("siteA/p2", "done/p2"), "utf-8")
    assert annotators(opened(root)) == ["Anna", "Anna"]


@pytest.mark.parametrize("release", ["this", "earlier"])
def test_a_labelled_study_that_is_moved_keeps_its_id(root: Path, release: str) -> None:
    store, path = labelled(root), root / ".brainmvp" / "ids.json"
    if release == "earlier":
        kept = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({name: {"folder": one["folder"]} for name, one in kept.items()}), "utf-8")
    (root / "siteA").rename(root / "done")
    scan(root / "done" / "p2" / "t1ce.nii.gz")
    assert annotators(store) == ["Anna", "Anna"]
    assert store.study("p2").folder == root / "done" / "p2"
    kept = json.loads(path.read_text("utf-8"))["p2"]
    assert (kept["folder"], sorted(kept["images"])) == ("done/p2", ["FLAIR", "T1CE"])


def test_the_name_of_a_study_that_was_removed_is_free_again(root: Path) -> None:
    store = labelled(root)
    store.remove_image("p2")
    other = Volume(np.arange(60, dtype=np.int16)[::-1].reshape(3, 4, 5), np.eye(4))
    image = write_volume(other, root.parent / "flair.nii.gz")
    store.add_image("p2", str(image), {"sequence": "FLAIR"})
    assert store.study("p2").folder == root / "p2"


def test_a_held_out_patient_who_is_gone_is_told_and_how_the_test_stays_one(root: Path) -> None:
    store = labelled(root)
    path = root / ".brainmvp" / "held-out-tumour.json"
    held_out = {"task": "tumour", "patients": ["p1"], "of": 6, "seed": 0, "chosen": "2026-01-01"}
    path.write_text(json.dumps(held_out), "utf-8")
    assert store.status()["problems"] == {}
    (root / "p1").rename(root / "p1-renamed")
    problems = store.status()["problems"]
    file = ".brainmvp/held-out-tumour.json"
    assert list(problems) == ["labels/final/p1", f"{file}: p1"]
    assert problems["labels/final/p1"].endswith(f"and write the patient's new name into {file}, too.")
    assert "write the new one into this file" in problems[f"{file}: p1"]
    path.write_text("{", "utf-8")
    assert "is damaged; restore it" in store.status()["problems"][file]


def test_a_changed_copy_of_a_study_is_not_proposed_beside_it(root: Path) -> None:
    from brainmvp_app.choice import Chooser

    store = opened(root)
    image = write_volume(Volume(np.ones((3, 4, 5), np.int16), np.eye(4)), root.parent / "flair.nii.gz")
    store.add_image("p1-changed", str(image), {"sequence": "FLAIR", "copy_of": "p1"})
    chooser = Chooser(store, AnnotationState(root, 60, store.studies), 0)
    assert [chooser.choose("sequential", name).get("id") for name in "ABCD"] == ["p1", "p2", "p3", None]
    assert (len(store.list_images()), store.status()["total"]) == (4, 3)
    (root / "p1" / "flair.nii.gz").unlink()
    assert chooser.choose("sequential", "D")["id"] == "p1-changed"


def test_a_name_in_an_old_encoding_is_told_and_stops_nothing(root: Path) -> None:
    folder = Path(os.fsdecode(b"M\xfcller"))
    scan(root / folder / "flair.nii.gz")
    scan(root / "p5" / os.fsdecode(b"\xfc_flair.nii.gz"))
    store = labelled(root)
    assert store.list_images() == ["p1", "p2", "p3"]
    problems = json.dumps(store.status(), ensure_ascii=False).encode().decode()
    assert problems.count("old encoding; rename it") == 2
    assert annotators(opened(root)) == ["Anna", "Anna"]


def test_a_name_too_long_for_a_label_is_told_and_stops_nothing(root: Path) -> None:
    scan(root / ("脑" * 80 + "x" * 10) / "flair.nii.gz")
    scan(root / ("y" * 250) / "flair.nii.gz")
    store = labelled(root)
    assert store.list_images() == ["p1", "p2", "p3"]
    problems = store.status()["problems"].values()
    assert ["too long" in problem for problem in problems] == [True, True]
    assert [case.id for case in AnnotationState(root).cases(TUMOUR, (TUMOUR,))] == ["p1", "p2"]


def test_a_corrected_table_of_sequences_is_noticed(root: Path) -> None:
    store = labelled(root)
    scan(root / "p4" / "a.nii.gz")
    table = root / "p4" / "study.json"
    table.write_text('{"sequences": {"FLAIR": "b.nii.gz"}}', "utf-8")
    assert "names b.nii.gz" in store.status()["problems"]["p4"]
    table.write_text('{"sequences": {"FLAIR": "a.nii.gz"}}', "utf-8")
    assert store.status()["problems"] == {}
    assert "p4" in store.list_images()
