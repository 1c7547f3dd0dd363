"""`brainmvp train-builtin` refuses what cannot be trained before the hours of work, and makes models for use."""

import json
from dataclasses import asdict
from functools import partial

import pytest
import torch

from brainmvp.modelstore import ModelStore
from brainmvp.training.checkpoints import read_weights
from brainmvp.training.train import Recipe


def test_an_unknown_task_is_refused(brainmvp, tmp_path):
    result = brainmvp("train-builtin", "--task", "gout", "--out", tmp_path)
    assert result.exit_code == 2
    assert "no task named 'gout'" in result.stderr


def test_a_task_that_phantoms_do_not_have_is_refused(brainmvp, tmp_path):
    result = brainmvp("train-builtin", "--task", "vs-seg", "--out", tmp_path)
    assert result.exit_code == 2
    assert "no vs-seg; the task is one of tumour, stroke" in result.stderr


@pytest.mark.parametrize("other", [{"task": "tumour"}, {"network": "unet-compact"}, {"start": "stroke@1"}])
def test_a_folder_with_another_run_is_refused(brainmvp, tmp_path, other):
    recipe = tmp_path / "recipe.json"
    stored = asdict(Recipe("stroke", "unet-light", steps=9, batch=1, anatomies=("MNI152",)))
    recipe.write_text(json.dumps(stored | other))
    result = brainmvp("train-builtin", "--task", "stroke", "--out", tmp_path, "--minutes", "0")
    assert result.exit_code == 2
    ((name, value),) = other.items()
    assert f"holds another run ({name} {value}, not {stored[name]}); give the same --task" in result.stderr
    assert list(tmp_path.iterdir()) == [recipe]


@pytest.mark.parametrize("content", ['{"task": "stro', "[]", "{}"])
def test_a_damaged_recipe_is_refused(brainmvp, tmp_path, content):
    (tmp_path / "recipe.json").write_text(content)
    result = brainmvp("train-builtin", "--task", "stroke", "--out", tmp_path, "--minutes", "0")
    assert result.exit_code == 2
    assert "recipe.json is damaged; delete it to go on" in result.stderr


def test_a_finished_model_is_stored_once_and_can_be_used(brainmvp, home, tmp_path, monkeypatch):
    # A box of 48 voxels in the middle of the brain, and two phantoms to fit on.
    monkeypatch.setattr("brainmvp.phantom.grid.EXTENT_MM", (96.0, 96.0, 96.0))
    monkeypatch.setattr("brainmvp.training.export._CALIBRATION_PHANTOMS", 2)
    monkeypatch.setattr("brainmvp.training.builtin.Recipe", partial(Recipe, validation=2))
    command = ("train-builtin", "--task", "stroke", "--device", "cpu", "--out", tmp_path / "run")
    # Made longer, it is another model; it stays as long unless told.
    for length, steps, version in ((("--steps", 1), 1, 2), (("--steps", 2), 2, 3), ((), 2, 3)):
        result = brainmvp(*command, *length)
        assert result.exit_code == 0, result.output
        assert f"--model stroke@{version}" in result.stdout
        assert ModelStore(home).resolve(f"stroke@{version}").card.training["steps"] == steps
    assert ModelStore(home).versions("stroke") == [1, 2, 3]
    assert ModelStore(home).served("stroke") == 1
    model = ModelStore(home).resolve("stroke@3")
    assert model.card.training["recipe"]["anatomies"] == ["MNI152"] and model.card.parent is None
    assert model.card.regions == ("STROKE",) and 0.25 <= model.card.temperatures["STROKE"] <= 4
    of_phantoms = {"dice on phantoms of the same brains, other seeds", "calibration error on these"}
    assert set(model.card.metrics) == of_phantoms
    weights, _ = read_weights(tmp_path / "run" / "unet-light.safetensors")
    bias = model.load_network().state_dict()["decoder.head.bias"]
    assert torch.equal(bias, weights["decoder.head.bias"].float())
