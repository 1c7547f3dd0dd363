"""`brainmvp study` says what a folder holds and what it is good for."""

import json
import os

import dicom_files as habit
import numpy as np
import pytest
from commands import done
from dicom_files import scan, write_series
from pydicom.uid import generate_uid

from brainmvp.volume import Volume, read_volume, write_volume


def test_shows_grids_and_tasks(brainmvp, write_study):
    folder = write_study("visit", "DWI ADC")
    result = brainmvp("study", folder)
    assert result.exit_code == 0, result.output
    assert "visit_dwi.nii.gz" in result.output
    assert "44 x 52 x 46" in result.output
    assert "stroke: Infarct; without FLAIR" in result.output
    assert "tumour: no." in result.output


def test_json_tells_left_out_structures(brainmvp, write_study):
    result = brainmvp("study", write_study("visit", "T1 FLAIR"), "--json")
    (study,) = json.loads(result.stdout)["studies"]
    assert study["sequences"]["FLAIR"]["orientation"] in ("RAS", "LPS", "LAS")
    assert study["tasks"]["tumour"]["regions"] == ["WT"]
    assert set(study["tasks"]["tumour"]["left_out"]) == {"TC", "ET"}


def test_what_lies_beside_the_images_in_another_format_is_told(brainmvp, write_study):
    folder = write_study("visit", "T1")
    for name in ("visit_flair.mhd", "visit_t2.mgh"):
        (folder / name).touch()
    assert "Not read: visit_flair.mhd, visit_t2.mgh; convert to .nii.gz." in done(brainmvp("study", folder))
    (folder / "study.json").write_text('{"sequences": {"T1": "visit_t1.nii.gz"}}')
    assert "Not read" not in done(brainmvp("study", folder))


def test_a_broken_file_is_a_problem_beside_the_good_ones(brainmvp, write_study, tmp_path):
    write_study("good", "FLAIR", tmp_path / "all")
    broken = write_study("bad", "FLAIR T1", tmp_path / "all") / "bad_t1.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    result = brainmvp("study", tmp_path / "all")
    assert result.exit_code == 2
    assert "good_flair.nii.gz" in result.output
    assert f"Problem: {broken} cannot be read" in result.output
    assert "tumour: Whole tumour; without T1, T1CE, T2" in result.output  # of the good one
    assert "tumour: no. T1 cannot be used; see the problem below." in result.output


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_folder_named_in_an_old_encoding_is_shown(brainmvp, write_study, tmp_path):
    folder = tmp_path / "all" / os.fsdecode(b"M\xfcller")
    try:
        write_study("visit", "FLAIR", tmp_path / "all").rename(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (folder / "visit_flair.nii.gz").rename(folder / os.fsdecode(b"\xfc_flair.nii.gz"))
    assert "\ufffd_flair.nii.gz" in done(brainmvp("study", folder))
    (study,) = json.loads(done(brainmvp("study", folder, "--json")))["studies"]
    assert study["folder"].endswith("/M\ufffdller")


def test_a_study_is_good_for_no_more_than_its_readable_images_allow(brainmvp, write_study):
    folder = write_study("visit", "FLAIR T1CE T1")
    (folder / "visit_t1ce.nii.gz").write_text("no image")
    blank = folder / "visit_flair.nii.gz"
    scan = read_volume(blank)
    write_volume(Volume(np.full_like(scan.data, 7), scan.affine), blank)
    result = brainmvp("study", folder, "--json")
    assert result.exit_code == 2
    (study,) = json.loads(result.stdout)["studies"]
    assert list(study["sequences"]) == ["T1"]
    assert not study["tasks"]["tumour"]["possible"]
    assert any(f"{blank} shows nothing" in problem for problem in study["problems"])


def test_a_folder_without_studies_is_refused(brainmvp, tmp_path):
    result = brainmvp("study", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path} holds no study")


def test_every_dicom_series_is_listed_with_what_it_is_and_why(brainmvp, tmp_path):
    volume, uid = scan(), generate_uid()
    contradictory = habit.FLAIR | {"SeriesDescription": "T2 TSE"}
    series = (habit.FLAIR, contradictory, habit.T2 | {"BodyPartExamined": "NECK"})
    for number, facts in enumerate(series, start=1):
        write_series(tmp_path / "visit" / str(number), volume, uid, number, **facts)
    result = brainmvp("study", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    (study,) = json.loads(result.stdout)["studies"]
    assert study["sequences"]["FLAIR"]["file"] == "series 1 tra dark-fluid 5mm"
    assert [(one["series"], one["what"], one["use"]) for one in study["series"]] == [
        (1, "FLAIR", "used"),
        (2, "FLAIR", "alternative"),
        (3, "neck, not the head", "left out"),
    ]
    assert study["series"][0]["why"] == "TR 9000, TE 93, TI 2500 ms"
    shown = brainmvp("study", tmp_path).output
    assert "Contradiction in series 2, taken for FLAIR: description “T2 TSE” says T2" in shown
    assert "Among several: a header without contradictions" in shown
    assert "Secret" not in shown and "ID-4711" not in shown


def test_a_dicom_study_that_cannot_be_used_is_listed_all_the_same(brainmvp, tmp_path):
    write_series(tmp_path / "visit", scan(), generate_uid(), 3, **habit.T2 | {"BodyPartExamined": "KNEE"})
    result = brainmvp("study", tmp_path, "--json")
    assert result.exit_code == 2
    (study,) = json.loads(result.stdout)["studies"]
    assert study["series"][0]["what"] == "knee, not the head"
