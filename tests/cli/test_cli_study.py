"""`brainmvp study` says what a folder holds and what it is good for."""

import json


def test_shows_grids_and_tasks(brainmvp, write_study):
    folder = write_study("visit", "DWI ADC")
    result = brainmvp("study", folder)
    assert result.exit_code == 0, result.output
    assert "visit_dwi.nii.gz" in result.output
    assert "44 x 52 x 46" in result.output
    assert "stroke: STROKE; without FLAIR" in result.output
    assert "tumour: no." in result.output


def test_json_tells_left_out_structures(brainmvp, write_study):
    result = brainmvp("study", write_study("visit", "T1 FLAIR"), "--json")
    (study,) = json.loads(result.stdout)["studies"]
    assert study["sequences"]["FLAIR"]["orientation"] in ("RAS", "LPS", "LAS")
    assert study["tasks"]["tumour"]["regions"] == ["WT"]
    assert set(study["tasks"]["tumour"]["left_out"]) == {"TC", "ET"}


def test_a_broken_file_is_a_problem_beside_the_good_ones(brainmvp, write_study, tmp_path):
    write_study("good", "FLAIR", tmp_path / "all")
    broken = write_study("bad", "FLAIR T1", tmp_path / "all") / "bad_t1.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    result = brainmvp("study", tmp_path / "all")
    assert result.exit_code == 2
    assert "good_flair.nii.gz" in result.output
    assert f"Problem: {broken} cannot be read" in result.output


def test_a_folder_without_studies_is_refused(brainmvp, tmp_path):
    result = brainmvp("study", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path} holds no study")
