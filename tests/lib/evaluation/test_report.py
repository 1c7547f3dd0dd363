"""The folder of an evaluation: what a task is judged by is in its tables, and nothing else."""

import csv
from datetime import date

import pytest
from labelled import make_cases

from brainmvp.card import Card
from brainmvp.evaluation.report import evaluate
from brainmvp.evaluation.turns import Turn
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.tasks import get_task


@pytest.mark.usefixtures("one_thread")
def test_tissues_are_judged_by_no_lesions(tmp_path):
    task = get_task("mrbrains-13")
    cases = make_cases(task, 2, tmp_path / "cases")
    config = NetworkConfig.preset("unet-compact", len(task.sequences), len(task.outputs))
    card = Card(
        name="tissues", version=1, task=task.name, title="random", sequences=task.sequences, regions=task.outputs,
        network=config, spacing=4.0, window=(16, 16, 16), created=date(2026, 1, 1),
    )  # fmt: skip
    model = ModelStore(tmp_path / "home").add(card, build_network(config).state_dict())
    summary = evaluate(task, [Turn(model, cases)], tmp_path / "out", lambda *_: None, device="cpu")
    assert set(summary) == {"mean", "CF", "GM", "WM"}
    assert all(set(metrics) == {"dice", "hd95", "volume_error"} for metrics in summary.values())
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert len(rows) == 6 and {"dice", "true_ml"} <= rows[0].keys() and "lesion_dice" not in rows[0]
    assert "lesion-wise" not in (tmp_path / "out" / "summary.md").read_text().split("Every patient")[0]
