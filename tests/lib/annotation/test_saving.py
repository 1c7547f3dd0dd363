"""Labels saved, and the history in one picture and one table."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainmvp.annotation.chart import draw_history, write_table
from brainmvp.annotation.held_out import choose_held_out
from brainmvp.annotation.history import history
from brainmvp.annotation.saving import labels_needed, summarise, write_simulation
from brainmvp.annotation.scores import Basis
from brainmvp.annotation.simulate import Curve
from brainmvp.annotation.state import AnnotationState
from brainmvp.errors import BrainMVPError
from brainmvp.selection import Facts


def test_labels_needed_are_read_off_a_curve() -> None:
    labels, dice = [2, 4, 8], np.array([0.2, 0.6, 0.8])
    assert labels_needed(labels, dice, 0.1) == 2
    assert labels_needed(labels, dice, 0.4) == 3
    assert labels_needed(labels, dice, 0.7) == 6
    assert labels_needed(labels, dice, 0.81) is None
    assert labels_needed(labels, np.array([0.9, 0.1, 0.9]), 0.8) == 2


def test_a_simulation_is_summed_up_over_its_seeds(tmp_path: Path) -> None:
    curves = [
        Curve(name, seed, [2, 4], [start + 0.1 * seed, 0.9], ["a", "b", "c", "d"])
        for name, start in (("random", 0.1), ("hybrid", 0.7))
        for seed in (0, 1)
    ]
    summary = summarise(curves, [0.9, 0.9], {"task": "tumour"})
    needed = {name: found["labels_needed"]["90%"] for name, found in summary["strategies"].items()}
    assert needed["hybrid"]["mean_curve"] < needed["random"]["mean_curve"]
    assert len(needed["random"]["by_seed"]) == 2
    assert Image.open(write_simulation(tmp_path, curves, summary)).size[0] > 500
    rows = list(csv.DictReader((tmp_path / "curves.csv").open()))
    assert (rows[0]["labels"], rows[0]["studies"]) == ("2", "a b")
    assert len(rows) == 8


def test_the_history_tells_of_own_tasks_too(tmp_path: Path) -> None:
    state = AnnotationState(tmp_path)
    state.scores.store(Facts("p1", None, {"WT": 0.2}), "our-tumours", Basis("f", "a@1", "a@1"))
    chosen = choose_held_out(tmp_path, "our-tumours", [f"p{number}" for number in range(8)], now=0.0)
    told = history(tmp_path)
    assert told["scored"] == {"our-tumours": 1, "stroke": 0, "tumour": 0}
    assert told["held_out"]["our-tumours"]["patients"] == list(chosen.patients)


def test_the_history_is_drawn_also_when_there_is_little_of_it(tmp_path: Path) -> None:
    with pytest.raises(BrainMVPError, match="was never served"):
        history(tmp_path)
    state = AnnotationState(tmp_path)
    empty = history(tmp_path)
    assert Image.open(draw_history(empty, tmp_path / "empty.png")).size[0] > 500

    for kind, study, name, seconds in (
        ("draft", "a", "A", 5.0), ("final", "a", "A", 60.0), ("final", "b", "B", None), ("final", "a", "A", 30.0),
        ("draft", "c", "B", None), ("draft", "c", "B", None), ("final", "removed", "B", None),
    ):  # fmt: skip
        state.journal.add(kind, task="tumour", study=study, annotator=name, seconds=seconds)
    detail = {
        "model": "tumour@2", "held_out": {"dice": 0.8, "cases": 3}, "before": {"model": "tumour@1", "dice": 0.7},
        "served": False, "sentence": "tumour@2 is worse.",
    }  # fmt: skip
    state.journal.add("version", task="tumour", detail=detail)
    for label in ("final/a", "final/b", "final/copied", "draft/c"):
        file = tmp_path / "labels" / f"{label}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    state.scores.store(Facts("a", None, {"WT": 0.5}), "tumour", Basis("f", "tumour@1", "tumour@1"))
    state.scores.store(Facts("b"), "tumour", Basis("f", "tumour@1", "tumour@1"), "b cannot be read")
    state.journal.add("version", task="stroke", detail=detail | {"model": "stroke@2", "served": True})
    told = history(tmp_path)
    finals = [label for label in told["labels"] if label["tag"] == "final"]
    assert [(label["study"], label["stored"]) for label in finals] == [
        ("a", True), ("b", True), ("a", True), ("removed", False), ("copied", True)
    ]  # fmt: skip
    assert told["annotators"]["A"] == {"final": 1, "draft": 0, "skipped": 0, "median_seconds": 45}
    assert told["annotators"]["B"] == {"final": 1, "draft": 1, "skipped": 0, "median_seconds": None}
    assert told["scored"]["tumour"] == 1
    draw_history(told, tmp_path / "history.png")
    renamed = json.loads(json.dumps(told).replace('"A"', r'"$\\anna$"'))
    draw_history(renamed, tmp_path / "renamed.png")  # a name may be any text
    rows = list(csv.DictReader(write_table(told, tmp_path / "history.csv").open()))
    assert [row["annotator"] for row in rows] == ["A", "A", "B", "A", "B", "B", "B", ""]
