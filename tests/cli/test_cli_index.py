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
