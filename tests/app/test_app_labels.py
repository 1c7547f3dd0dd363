"""Labels: stored as they came, on the study's grid and with the task's values, or not at all."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from app_server import Server

from brainmvp.segnrrd import write_seg_nrrd
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume

NewStudy = Callable[[str], str]
WriteLabel = Callable[..., Path]


def labels_of(server: Server, study: str) -> dict[str, dict]:
    return server.get_json("/datastore/", output="all")["objects"][study]["labels"]


def test_a_label_comes_back_byte_for_byte(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("T1CE FLAIR")
    file = write_label(study)
    answer = server.label(study, file, params='{"seconds": 61}')
    assert answer.json() == {"image": study, "label": study}
    assert server.call("GET", f"/datastore/label?label={study}&tag=final").content == file.read_bytes()
    assert (server.studies / "labels" / "final" / f"{study}.nii.gz").read_bytes() == file.read_bytes()
    info = server.get_json("/datastore/label/info", label=study, tag="final")
    assert info["seconds"] == 61
    assert info["name"] == f"{study}.nii.gz"


@pytest.mark.parametrize("values", [(1, 2, 3), (1, 2, 4)])
def test_both_conventions_for_enhancing_tumour_are_kept(
    server: Server, new_study: NewStudy, write_label: WriteLabel, values: tuple[int, ...]
) -> None:
    study = new_study("T1CE FLAIR")
    server.label(study, write_label(study, values)).raise_for_status()
    stored = read_volume(server.studies / "labels" / "final" / f"{study}.nii.gz")
    assert set(np.unique(stored.data)) == {0, *values}


def test_a_segmentation_whose_segments_are_none_of_the_task_is_refused(
    server: Server, new_study: NewStudy, write_label: WriteLabel, tmp_path: Path
) -> None:
    study = new_study("T1CE FLAIR")
    file = write_seg_nrrd(read_volume(write_label(study)), get_task("tumour"), tmp_path / "x.seg.nrrd")
    server.label(study, file).raise_for_status()
    content = (
        file.read_bytes().replace(b"Name:=Enhancing tumour", b"Name:=Cyst").replace(b"_ID:=ET", b"_ID:=S")
    )
    file.write_bytes(content.replace(b"C113842", b"C2953"))  # nor by its code
    answer = server.label(study, file)
    assert answer.status_code == 422
    assert "x.seg.nrrd holds the segment “Cyst”" in answer.text


def test_drafts_do_not_count_as_done(server: Server, new_study: NewStudy, write_label: WriteLabel) -> None:
    study = new_study("T1CE FLAIR")
    completed = server.get_json("/datastore/")["completed"]
    server.label(study, write_label(study), tag="draft").raise_for_status()
    assert list(labels_of(server, study)) == ["draft"]
    assert server.get_json("/datastore/")["completed"] == completed
    server.label(study, write_label(study)).raise_for_status()
    assert server.get_json("/datastore/")["completed"] == completed + 1
    assert study in [entry["id"] for entry in server.get_json("/datastore/", output="train")]


def test_the_answer_names_whose_label_is_replaced(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("T1CE FLAIR")
    label, other = write_label(study), write_label(study, (1,), ".nrrd")
    answers = [
        server.label(study, file, tag, f'{{"annotator": "{name}"}}').json()
        for name, tag, file in (
            ("Anna", "draft", label),
            ("Anna", "draft", label),
            ("Ben", "final", label),
            ("Ben", "final", label),  # again, as a client sends it that got no answer
            ("Ben", "final", other),
            ("Cleo", "final", label),
        )
    ]
    assert [answer.get("replaced") for answer in answers] == [None, None, "Anna", "Anna", None, "Ben"]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_a_label_in_another_format_replaces_the_old_file(
    server: Server, new_study: NewStudy, write_label: WriteLabel, suffix: str
) -> None:
    study = new_study("DWI ADC")
    server.label(study, write_label(study, (1,))).raise_for_status()
    server.label(study, write_label(study, (1,), suffix)).raise_for_status()
    stored = [path.name for path in (server.studies / "labels" / "final").glob(f"{study}*")]
    assert stored == [f"{study}{suffix}"]
    assert labels_of(server, study)["final"]["ext"] == suffix


def test_what_does_not_fit_the_study_is_refused_and_changes_nothing(
    server: Server, new_study: NewStudy, write_label: WriteLabel, tmp_path: Path
) -> None:
    study = new_study("T1CE FLAIR")
    good = write_label(study)
    server.label(study, good).raise_for_status()
    label = read_volume(good)
    moved, turned = label.affine.copy(), label.affine.copy()
    moved[0, 3] += 0.5
    turned[:3, 0] *= -1
    floats = np.where(label.data > 0, 1.5, 0).astype(np.float32)
    bad = {
        "shape": Volume(label.data[:-1], label.affine),
        "moved": Volume(label.data, moved),
        "turned": Volume(label.data, turned),
        "values": Volume(label.data * 7, label.affine),
        "floats": Volume(floats, label.affine),
    }
    before = server.files()
    for name, volume in bad.items():
        answer = server.label(study, write_volume(volume, tmp_path / f"{name}.nii.gz"))
        assert answer.status_code == 422, name
        assert answer.json()["detail"].startswith(f"{name}.nii.gz "), answer.text
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(good.read_bytes()[:-40])
    assert "cannot be read" in server.label(study, broken).json()["detail"]
    assert server.files() == before


def test_the_values_are_those_of_the_studys_task(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("DWI ADC FLAIR")
    refused = server.label(study, write_label(study, (1, 2)))
    assert refused.status_code == 422
    assert "the stroke task does not know" in refused.json()["detail"]
    server.label(study, write_label(study, (1, 2)), params='{"task": "tumour"}').raise_for_status()


def test_an_upload_that_breaks_off_changes_nothing(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("T1CE FLAIR")
    server.label(study, write_label(study)).raise_for_status()
    before = server.files()
    server.begin_label(study, bytes(5000)).close()
    assert server.get_json("/datastore/")["total"] > 0
    assert server.files() == before


def test_the_label_of_an_unknown_study_is_refused(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    file = write_label(new_study("FLAIR"))
    before = server.files()
    assert server.label("nobody", file).status_code == 404
    assert server.files() == before
    server.refused(404, "GET", "/datastore/label/info", params={"label": "nobody", "tag": "final"})
    assert (
        server.call("GET", "/datastore/label", params={"label": "nobody", "tag": "final"}).status_code == 404
    )


def test_a_label_can_be_removed(server: Server, new_study: NewStudy, write_label: WriteLabel) -> None:
    study = new_study("FLAIR")
    server.label(study, write_label(study)).raise_for_status()
    query = {"id": study, "tag": "final"}
    assert server.call("DELETE", "/datastore/label", params=query).status_code == 200
    assert labels_of(server, study) == {}
    assert "no label 'final'" in server.refused(404, "DELETE", "/datastore/label", params=query)


def test_a_label_copied_into_the_folder_is_found(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("FLAIR")
    target = server.studies / "labels" / "final" / f"{study}.nii.gz"
    target.write_bytes(write_label(study).read_bytes())
    assert list(labels_of(server, study)) == ["final"]


def test_the_archive_holds_all_sequences_and_labels(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("T1CE FLAIR")
    file = write_label(study)
    server.label(study, file).raise_for_status()
    server.label(study, file, tag="draft").raise_for_status()
    answer = server.call("GET", "/datastore/dataset")
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    stored = {f"images/{study}/flair.nii.gz", f"images/{study}/t1ce.nii.gz"}
    assert stored | {f"labels/{tag}/{study}.nii.gz" for tag in ("final", "draft")} <= set(archive.namelist())
    assert archive.read(f"labels/final/{study}.nii.gz") == file.read_bytes()
    assert study in json.loads(archive.read("metadata.json"))["objects"]
    first = server.call("GET", "/datastore/dataset", params={"limit_cases": 1}).content
    folders = {
        Path(name).parent.name for name in zipfile.ZipFile(io.BytesIO(first)).namelist() if "images" in name
    }
    assert len(folders) == 1
    server.refused(400, "GET", "/datastore/dataset", params={"limit_cases": 0})
