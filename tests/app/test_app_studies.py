"""A study of several sequences is one image of the datastore."""

from collections.abc import Callable

import pytest
from app_server import Server

from brainmvp.volume import read_volume, write_volume

NewStudy = Callable[[str], str]


def test_a_study_counts_once_whatever_the_number_of_its_sequences(
    server: Server, new_study: NewStudy
) -> None:
    before = server.get_json("/info/")["datastore"]["total"]
    study = new_study("T1 T1CE T2 FLAIR")
    assert server.get_json("/info/")["datastore"]["total"] == before + 1
    assert study in server.get_json("/datastore/", output="all")["objects"]


def test_the_info_names_every_sequence_and_the_one_that_labels_lie_on(
    server: Server, new_study: NewStudy
) -> None:
    study = new_study("T1 T1CE FLAIR")
    info = server.get_json("/datastore/image/info", image=study)
    assert info["reference"] == "T1CE"
    assert info["task"] == "tumour"
    assert info["name"] == f"{study}_t1ce.nii.gz"
    assert {s: entry["image"] for s, entry in info["sequences"].items()} == {
        "FLAIR": f"{study}@FLAIR",
        "T1": f"{study}@T1",
        "T1CE": f"{study}@T1CE",
    }


@pytest.mark.parametrize(
    ("sequences", "task", "reference"),
    [
        ("DWI ADC FLAIR", "stroke", "DWI"),
        ("T1 T1CE T2 FLAIR DWI ADC", "tumour", "T1CE"),
        ("FLAIR ADC", "tumour", "FLAIR"),
        ("MRA PD", None, "MRA"),
    ],
)
def test_the_reference_is_that_of_the_task_the_study_fits_best(
    server: Server, new_study: NewStudy, sequences: str, task: str | None, reference: str
) -> None:
    info = server.get_json("/datastore/image/info", image=new_study(sequences))
    assert (info["task"], info["reference"]) == (task, reference)


def test_a_remote_client_gets_every_sequence_byte_for_byte(server: Server, new_study: NewStudy) -> None:
    study = new_study("T1CE FLAIR")
    sequences = server.get_json("/datastore/image/info", image=study)["sequences"]
    assert set(sequences) == {"T1CE", "FLAIR"}
    for sequence, entry in sequences.items():
        stored = server.studies / study / f"{study}_{sequence.lower()}.nii.gz"
        answer = server.call("GET", "/datastore/image", params={"image": entry["image"]})
        assert answer.content == stored.read_bytes()
        assert entry["bytes"] == len(answer.content)


def test_the_id_alone_gives_the_reference_sequence(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR T1CE")
    stored = server.studies / study / f"{study}_t1ce.nii.gz"
    assert server.call("GET", "/datastore/image", params={"image": study}).content == stored.read_bytes()


def test_other_formats_than_nifti_are_studies_too(server: Server, new_study: NewStudy) -> None:
    source = server.studies / (name := new_study("FLAIR")) / f"{name}_flair.nii.gz"
    write_volume(read_volume(source), server.studies / "as_nrrd" / "scan_flair.nrrd")
    info = server.get_json("/datastore/image/info", image="as_nrrd")
    assert info["name"] == "as_nrrd_flair.nrrd"


def test_a_session_in_bids_layout_is_a_study(server: Server, new_study: NewStudy) -> None:
    source = server.studies / new_study("FLAIR")
    target = server.studies / "sub-07" / "ses-02" / "anat" / "sub-07_ses-02_FLAIR.nii.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(next(source.iterdir()).read_bytes())
    answer = server.call("GET", "/datastore/image", params={"image": "sub-07_ses-02"})
    assert answer.content == target.read_bytes()
    assert "sub-07_ses-02" in server.get_json("/datastore/", output="all")["objects"]


def test_a_folder_that_is_no_study_is_reported_with_its_file(server: Server, new_study: NewStudy) -> None:
    folder = server.studies / new_study("FLAIR")
    next(folder.iterdir()).rename(folder / "mystery.nii.gz")
    status = server.get_json("/datastore/")
    assert "mystery.nii.gz" in status["problems"][folder.name]
    assert folder.name not in server.get_json("/datastore/", output="all")["objects"]


def test_a_study_that_is_deleted_on_disk_is_gone(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR")
    assert server.call("GET", "/datastore/image", params={"image": study}).status_code == 200
    for path in (server.studies / study).iterdir():
        path.unlink()
    (server.studies / study).rmdir()
    assert server.call("GET", "/datastore/image", params={"image": study}).status_code == 404
    assert study not in server.get_json("/datastore/", output="all")["objects"]


def test_an_unknown_study_or_sequence_is_said_in_a_sentence(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR T2")
    sentence = server.refused(404, "GET", "/datastore/image/info", params={"image": "nobody"})
    assert "'nobody'" in sentence
    sentence = server.refused(404, "GET", "/datastore/image/info", params={"image": f"{study}@T1CE"})
    assert sentence == f"{study} has no T1CE; it has FLAIR, T2."


def test_notes_about_a_study_cannot_replace_what_its_files_say(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR")
    notes = '{"path": "/etc/passwd", "sequences": {}, "reader": "A. Smith"}'
    answer = server.call("PUT", "/datastore/image/info", params={"image": study}, data={"info": notes})
    assert answer.status_code == 200
    info = server.get_json("/datastore/image/info", image=study)
    assert info["reader"] == "A. Smith"
    assert info["path"].startswith(str(server.studies))
    assert list(info["sequences"]) == ["FLAIR"]
