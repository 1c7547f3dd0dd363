"""Two processes share a step out and end with one model."""

import json
from pathlib import Path

import pytest
import torch
from labelled import make_cases

from brainmvp.finetune import finetune
from brainmvp.finetune.machine import ManyDevices
from brainmvp.tasks import get_task

pytest.importorskip("lightning", reason="Lightning is not installed")
STROKE = get_task("stroke")


def recipe(batch):
    changes = {
        "network": "uniformer-compact", "spacing": 4.0, "window": (16, 16, 16), "epochs": 1, "validate_every": 1,
        "steps_per_epoch": 1, "batch": batch,
    }  # fmt: skip
    return STROKE.recipe.model_copy(update=changes)


def _learn(root: Path) -> None:
    cases = make_cases(STROKE, 4, root)
    machine = ManyDevices("cpu", devices=2, strategy="ddp_fork")

    def work(_) -> None:
        torch.set_num_threads(1)
        # Nobody wants to stop: both processes have to agree on that.
        result = finetune(STROKE, cases[:2], cases[2:], None, recipe(1), root / "two", machine=machine,
                          should_stop=lambda: False)  # fmt: skip
        if machine.rank == 0:
            torch.save(result.weights, root / "two.pt")
            (root / "facts.json").write_text(json.dumps([machine.world, result.metrics]))

    machine.fabric.launch(work)


def test_two_processes_see_different_studies_and_end_with_one_model(tmp_path):
    _learn(tmp_path)
    world, metrics = json.loads((tmp_path / "facts.json").read_text())
    assert world == 2 and 0 <= metrics["STROKE"] <= 1
    weights = torch.load(tmp_path / "two.pt", weights_only=True)
    cases = make_cases(STROKE, 4, tmp_path / "again")
    alone = finetune(STROKE, cases[:2], cases[2:], None, recipe(1), tmp_path / "one")
    # One process took one of the two studies of the step, two took both: their gradients differ.
    assert any(not torch.equal(weights[key], value) for key, value in alone.weights.items())
    assert weights.keys() == alone.weights.keys()
