"""The folder of an evaluation: what a task is judged by is in its tables, and nothing else."""

import csv
from datetime import date

import pytest
from labelled import make_cases

from brainmvp.card import Card
from brainmvp.errors import BrainMVPError
from brainmvp.evaluation.report import evaluate
from brainmvp.evaluation.turns import Turn
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task


def model_of(task, home):
    """Return a small model of random weights."""
    config = NetworkConfig.preset("unet-compact", len(task.sequences), len(task.outputs))
    card = Card(
        name="random", version=1, task=task.name, title="random", sequences=task.sequences, regions=task.outputs,
        network=config, spacing=4.0, window=(16, 16, 16), created=date(2026, 1, 1),
    )  # fmt: skip
    return ModelStore(home).add(card, build_network(config).state_dict())


@pytest.mark.usefixtures("one_thread")
def test_tissues_are_judged_by_no_lesions(tmp_path):
    task = get_task("mrbrains-13")
    cases, model = make_cases(task, 2, tmp_path / "cases"), model_of(task, tmp_path / "home")
    summary = evaluate(task, [Turn(model, cases)], tmp_path / "out", lambda *_: None, device="cpu")
    assert set(summary) == {"mean", "CF", "GM", "WM"}
    assert all(set(metrics) == {"dice", "hd95", "volume_error"} for metrics in summary.values())
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert len(rows) == 6 and {"dice", "true_ml"} <= rows[0].keys() and "lesion_dice" not in rows[0]
    assert "lesion-wise" not in (tmp_path / "out" / "summary.md").read_text().split("Every patient")[0]


@pytest.mark.usefixtures("one_thread")
def test_a_bad_label_is_told_before_the_work_and_a_bad_scan_costs_no_other_case(tmp_path):
    task, told = get_task("stroke"), []
    cases, model = make_cases(task, 3, tmp_path / "cases"), model_of(task, tmp_path / "home")

    def judge():
        evaluate(
            task, [Turn(model, cases)], tmp_path / "out", lambda text, _: told.append(text), device="cpu"
        )

    label = cases[2].label.read_bytes()
    cases[2].label.write_bytes(label[:100])
    with pytest.raises(BrainMVPError, match=r"stroke-2_seg\.nii\.gz cannot be read"):
        judge()
    assert told == [f"reading the label of {case.id}" for case in cases]
    cases[2].label.write_bytes(label)
    cases[2].study.images[Sequence.FLAIR].write_bytes(b"no image")
    with pytest.raises(BrainMVPError, match=r"stroke-2_flair\.nii\.gz cannot be read"):
        judge()
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert [row["case"] for row in rows] == [case.id for case in cases[:2]]
