"""`brainmvp index` describes a folder of studies."""

import json


def test_writes_the_index_and_says_what_is_in_it(brainmvp, write_study, tmp_path):
    write_study("a", "t1 flair", tmp_path / "cohort")
    write_study("b", "t2", tmp_path / "cohort")
    result = brainmvp("index", tmp_path / "cohort", "--validation", "0.5")
    assert result.exit_code == 0, result.output
    assert "1 to train" in result.stdout and "1 to validation" in result.stdout
    content = json.loads((tmp_path / "cohort" / "index.json").read_text())
    assert [s["subject"] for s in content["sessions"]] == ["a", "b"]
    assert content["root"] == "."


def test_an_empty_folder_is_one_sentence(brainmvp, tmp_path):
    result = brainmvp("index", tmp_path)
    assert result.exit_code == 2
    assert "Error: " in result.stderr and "holds no image" in result.stderr


def test_it_says_what_a_task_can_learn_from(brainmvp, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path_factory.mktemp("home")))
    for patient in ("a", "b", "c", "d"):
        (tmp_path / patient).mkdir()
        (tmp_path / patient / "t1.nii.gz").touch()
    (tmp_path / "d" / "t1.nii.gz").rename(tmp_path / "d" / "t2.nii.gz")
    table = tmp_path / "table.csv"
    table.write_text("subject,label\na,CN\nc,AD\nd,CN\n")
    own = tmp_path / "own.json"
    own.write_text('{"extends": "adni", "name": "own", "title": "Ours"}')
    assert brainmvp("tasks", "add", own).exit_code == 0
    result = brainmvp("index", tmp_path, "--task", "own", "--table", table)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "own can learn from 1 of 4 visits, of 1 patients (CN 1)" in said
    assert f"not from {tmp_path.name}/b/1: no class" in said and "/c/1: of class 'AD'" in said
    assert f"not from {tmp_path.name}/d/1: no T1, which own needs" in said and "to train" not in said
