"""`brainmvp train-builtin` refuses what cannot be trained, before the hours of work."""

import json

import pytest


def test_an_unknown_task_is_refused(brainmvp, tmp_path):
    result = brainmvp("train-builtin", "--task", "gout", "--out", tmp_path)
    assert result.exit_code == 2
    assert "no task named 'gout'" in result.stderr


def test_a_task_that_phantoms_do_not_have_is_refused(brainmvp, tmp_path):
    result = brainmvp("train-builtin", "--task", "vs-seg", "--out", tmp_path)
    assert result.exit_code == 2
    assert "no vs-seg; the task is one of tumour, stroke" in result.stderr


@pytest.mark.parametrize("other", [{"task": "tumour"}, {"networks": ["unet-compact"]}, {"start": "stroke@1"}])
def test_a_folder_with_another_run_is_refused(brainmvp, tmp_path, other):
    recipe = tmp_path / "recipe.json"
    stored = {"task": "stroke", "networks": ["unet-light"], "start": None} | other
    recipe.write_text(json.dumps(stored))
    result = brainmvp("train-builtin", "--task", "stroke", "--out", tmp_path, "--minutes", "0")
    assert result.exit_code == 2
    assert f"holds a run of {stored['task']}, {stored['networks'][0]}, from" in result.stderr
    assert list(tmp_path.iterdir()) == [recipe]
