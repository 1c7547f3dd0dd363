"""What was labelled in a served folder is what its index finds."""

import shutil
from pathlib import Path

import pytest

from brainmvp.annotation.database import Database
from brainmvp.annotation.held_out import choose_held_out, held_out_path, read_held_out
from brainmvp.annotation.journal import Journal
from brainmvp.cohort.scan import index_folder
from brainmvp.given_ids import GivenIds
from brainmvp.study import find_studies
from brainmvp.tasks import get_task


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Three studies, two with a final label; and the drafts, results and notes of a server."""
    files = (
        "a/a_flair.nii.gz", "a/a_dwi.nii.gz", "b/b_flair.nii.gz", "b/b_seg.nii.gz",
        "sub-1/ses-2/anat/sub-1_ses-2_FLAIR.nii.gz", "labels/final/a.nii.gz", "labels/final/sub-1_ses-2.seg.nrrd",
        "labels/original/b.nii.gz", "labels/draft/b.nii.gz", ".brainmvp/labels/final/a/1.nii.gz",
    )  # fmt: skip
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    return tmp_path


def submit(root: Path, **tasks: str) -> None:
    journal = Journal(Database(root))
    for study, task in tasks.items():
        journal.add("final", study=study, task=task)


def labels_of(root: Path, task: str | None = None) -> tuple[dict[str, str | None], list[str]]:
    index, notes = index_folder(root, task=get_task(task) if task else None)
    return {session.subject: session.segmentation for session in index.sessions}, notes


def test_final_labels_are_those_of_their_visits_and_others_are_no_labels(served: Path) -> None:
    found, notes = labels_of(served)
    assert found == {
        "a": "labels/final/a.nii.gz",
        "b": "b/b_seg.nii.gz",
        "1": "labels/final/sub-1_ses-2.seg.nrrd",
    }
    assert not notes


def test_a_final_label_comes_before_one_beside_the_images_and_none_is_lost_in_silence(served: Path) -> None:
    for study in ("b", "gone"):
        (served / "labels" / "final" / f"{study}.nii.gz").touch()
    found, notes = labels_of(served)
    assert found["b"] == "labels/final/b.nii.gz"
    assert notes == [
        "Took final labels in place of b/b_seg.nii.gz beside the images.",
        "Left out the final labels of gone: no study here is the one of this name.",
    ]


def test_a_task_learns_from_labels_of_its_own_kind_only(served: Path) -> None:
    submit(served, a="tumour")
    submit(served, **{"a": "stroke", "sub-1_ses-2": "tumour"})
    stroke, notes = labels_of(served, "stroke")
    assert (stroke["a"], stroke["1"]) == ("labels/final/a.nii.gz", None)
    assert notes == ["Left out final labels by their task (1 of tumour)."]
    assert labels_of(served, "isles-2022")[0] == stroke
    assert labels_of(served, "tumour")[0]["1"] and not labels_of(served, "tumour")[0]["a"]
    found, notes = labels_of(served)
    assert (
        not found["a"] and not found["1"] and notes[0].endswith("1 of tumour); add --task for those of one.")
    )


def test_who_is_held_out_by_the_annotation_tests_the_index_too(served: Path) -> None:
    (served / "sub-1" / "ses-3").mkdir()
    (served / "sub-1" / "ses-3" / "sub-1_ses-3_FLAIR.nii.gz").touch()
    choose_held_out(served, "tumour", ["a", "b", "sub-1_ses-2", "p", "q", "r"], 0.0)
    path = held_out_path(served, "tumour")
    path.write_text(path.read_text().replace(read_held_out(served, "tumour").patients[0], "sub-1"))
    held_out = {name.removeprefix("sub-") for name in read_held_out(served, "tumour").patients} & {
        "a",
        "b",
        "1",
    }
    index, notes = index_folder(served, task=get_task("tumour"))
    assert {session.subject for session in index.sessions if session.split == "test"} == held_out > set()
    assert all(session.split == "test" for session in index.sessions if session.subject == "1")
    assert notes[-1].endswith("for the test: the annotation holds them out.")
    assert all(s.split is None for s in index_folder(served, task=get_task("stroke"))[0].sessions)


def test_an_image_that_came_after_its_label_and_shows_more_is_left_out(served: Path) -> None:
    (served / "a" / "a_t1ce.nii.gz").touch()

    def found() -> tuple[list[str], list[str]]:
        index, notes = index_folder(served, task=get_task("tumour"))
        return next(list(session.sequences) for session in index.sessions if session.subject == "a"), notes

    for drawn_with, used in ((["FLAIR"], ["FLAIR", "DWI"]), (["FLAIR", "T1CE"], ["T1CE", "FLAIR", "DWI"])):
        Journal(Database(served)).add("final", study="a", task="tumour", detail={"sequences": drawn_with})
        sequences, notes = found()
        assert sorted(sequences) == sorted(used)
        assert bool(notes) is ("T1CE" not in drawn_with)
        assert all(note.startswith("Left out a/a_t1ce.nii.gz, which came after its label") for note in notes)


def test_a_final_label_is_that_of_the_visit_that_has_its_id(tmp_path: Path) -> None:
    for patient in ("Anna", "Bert"):
        scan = tmp_path / patient / "2024-01-31" / "flair.nii.gz"
        scan.parent.mkdir(parents=True)
        scan.write_text(patient)
    (tmp_path / "labels" / "final").mkdir(parents=True)
    (tmp_path / "labels" / "final" / "2024-01-31.nii.gz").touch()
    (bert,) = find_studies(tmp_path / "Bert")
    GivenIds(tmp_path).keep([bert])
    label = "labels/final/2024-01-31.nii.gz"
    assert labels_of(tmp_path)[0] == {"Anna": None, "Bert": label}
    (tmp_path / "Bert").rename(tmp_path / "Aaron")
    assert labels_of(tmp_path)[0] == {"Aaron": label, "Anna": None}
    shutil.rmtree(tmp_path / "Aaron")
    found, notes = labels_of(tmp_path)
    assert found == {"Anna": None}
    assert notes == ["Left out the final labels of 2024-01-31: no study here is the one of this name."]


def test_a_study_json_keeps_its_final_label(served: Path) -> None:
    (served / "a" / "study.json").write_text('{"sequences": {"FLAIR": "a_flair.nii.gz"}}')
    assert labels_of(served)[0]["a"] == "labels/final/a.nii.gz"


def test_labels_of_a_data_set_are_read_as_before(tmp_path: Path) -> None:
    for file in ("images/BraTS2021_00001_t1.nii.gz", "labels/BraTS2021_00001_seg.nii.gz"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    assert labels_of(tmp_path)[0] == {"BraTS2021_00001": "labels/BraTS2021_00001_seg.nii.gz"}
