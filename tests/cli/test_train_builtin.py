"""`brainmvp train-builtin` refuses what cannot be trained before the hours of work, and makes models for use."""

import json

import pytest

from brainmvp.modelstore import ModelStore


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


def test_a_finished_model_is_stored_once_and_can_be_used(brainmvp, home, tmp_path, monkeypatch):
    # A box of 64 voxels in the middle of the brain, and two phantoms to fit on.
    monkeypatch.setattr("brainmvp.phantom.grid.EXTENT_MM", (128.0, 128.0, 128.0))
    monkeypatch.setattr("brainmvp.training.export._CALIBRATION_PHANTOMS", 2)
    monkeypatch.setattr("brainmvp.training.train.Recipe.validation", 2)
    command = (
        "train-builtin",
        "--task",
        "stroke",
        "--steps",
        "1",
        "--device",
        "cpu",
        "--out",
        tmp_path / "run",
    )
    for _ in range(2):
        result = brainmvp(*command)
        assert result.exit_code == 0, result.output
        assert "--model stroke@2" in result.stdout
    assert ModelStore(home).versions("stroke") == [1, 2]
    card = ModelStore(home).resolve("stroke@2").card
    assert card.training["recipe"]["anatomies"] == ["MNI152"]
    assert card.parent is None and ModelStore(home).served("stroke") == 1
