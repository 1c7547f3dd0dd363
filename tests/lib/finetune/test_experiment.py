"""The tables of a comparison, and what they are made anew for."""

from dataclasses import replace

import pytest
from labelled import make_cases

from brainmvp.errors import BrainMVPError
from brainmvp.finetune import experiment
from brainmvp.finetune.experiment import Variant, run_experiment, summary_table
from brainmvp.stop import Stop
from brainmvp.tasks import get_task


def test_the_spread_over_seeds_is_that_of_a_sample():
    row = {
        "variant": "scratch",
        "fraction": 1.0,
        "studies": 5,
        "training_s": 2.0,
        "inference_s": 1.0,
        "parameters": 1e6,
    }
    one, three = (
        summary_table([row | {"dice": dice} for dice in values], ["dice"])[1][3]
        for values in ([0.5], [0.4, 0.5, 0.6])
    )
    assert (one, three) == ("0.5000", "0.5000 ± 0.1000")


def test_other_classes_of_the_same_names_are_not_the_test_of_before(tmp_path, monkeypatch):
    task = get_task("brats-2018-grade")
    turned = task.model_copy(update={"classes": task.classes[::-1]})
    cases = make_cases(task, 3, tmp_path)
    parts = {"train": cases[:1], "validation": cases[1:2], "test": cases[2:]}
    recipe = task.recipe.model_copy(
        update={"grid": (16, 16, 16), "window": (16, 16, 16), "spacing": 4.0, "epochs": 1}
    )
    monkeypatch.setattr(experiment, "_test", lambda *_: {"auc": 0.5, "inference_s": 1.0, "parameters": 1})

    def compared(task):
        return run_experiment(
            task, parts, [Variant("unet", None, "unet-compact")], [1.0], [0], recipe, tmp_path / "out",
            lambda *_: None, Stop(), cache=tmp_path / "cache", device="cpu",
        )  # fmt: skip

    compared(task)
    with pytest.raises(BrainMVPError, match="holds a run of before the brats-2018-grade task was changed"):
        compared(turned)


def test_a_corrected_class_of_the_test_is_tested_again(tmp_path, monkeypatch):
    task = get_task("adni")
    cases = make_cases(task, 3, tmp_path)
    recipe = task.recipe.model_copy(
        update={"grid": (16, 16, 16), "window": (16, 16, 16), "spacing": 4.0, "epochs": 1}
    )
    tested = []

    def score(task, model, cases, device):
        tested.append([case.target for case in cases])
        return {"auc": 0.5, "inference_s": 1.0, "parameters": 1}

    monkeypatch.setattr(experiment, "_test", score)
    found = tmp_path / "out" / "unet-1-0" / "test.json"
    for case in (cases[2], cases[2], replace(cases[2], target="MCI")):
        parts = {"train": cases[:1], "validation": cases[1:2], "test": [case]}
        run_experiment(
            task, parts, [Variant("unet", None, "unet-compact")], [1.0], [0], recipe, tmp_path / "out",
            lambda *_: None, Stop(), cache=tmp_path / "cache", device="cpu",
        )  # fmt: skip
    assert tested == [["CN"], ["MCI"]]
    assert experiment._tested(found.parent, {}) is not None
    found.write_text(found.read_text()[:40])  # as the power went
    assert experiment._tested(found.parent, {}) is None
