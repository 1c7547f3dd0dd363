"""A hospital's own tasks, in its own folders: from a data file to a table beside the built-in model, and to answers."""

import csv
import json
import shutil

import pytest
from commands import done
from labelled import TINY, make_cases

from brainmvp.tasks import get_task

pytestmark = pytest.mark.usefixtures("one_thread")


def hospital(task, root):
    """Write folders PATIENT/DATE with names of the hospital's own; return the root."""
    for number, case in enumerate(make_cases(task, 6, root / "before")):
        visit = root / "clinic" / f"P{number}" / f"2024011{number}"
        visit.mkdir(parents=True)
        for sequence, path in case.study.images.items():
            shutil.move(path, visit / f"{sequence.lower()}_head.nii.gz")
        if case.label:
            shutil.move(case.label, visit / "infarct_mask.nii.gz")
    return root / "clinic"


def test_an_own_segmentation_is_learned_and_compared_with_the_built_in_model(brainmvp, home, tmp_path):
    file = tmp_path / "our-strokes.json"
    file.write_text(json.dumps({"extends": "isles-2022", "name": "our-strokes", "title": "Strokes, ours"}))
    done(brainmvp("tasks", "add", file))
    index = hospital(get_task("stroke"), tmp_path) / "index.json"
    said = done(brainmvp("index", index.parent, "--task", "our-strokes"))
    assert "our-strokes can learn from 6 of 6 visits, of 6 patients." in said
    learn = ("finetune", "our-strokes", index, "--from", "stroke", "--out", tmp_path / "run")
    said = done(brainmvp(*learn, *TINY))
    assert "Use it: brainmvp segment PATIENT --task our-strokes --model our-strokes@1 --out" in said
    out = tmp_path / "judged"
    judge = ("evaluate", "our-strokes", index, "--model", "our-strokes", "--out", out, "--device", "cpu")
    said = done(brainmvp(*judge, "--missing", "--against", "stroke"))
    summary = (out / "summary.md").read_text()
    assert "Compared with stroke@1" in summary and summary.count("●") == 8
    assert "published" not in summary  # the numbers of ISLES are not those of this hospital
    result = brainmvp(*judge, "--against", "tumour")
    assert result.exit_code == 2 and "tumour@1 is a model for tumour, not for our-strokes" in result.stderr


def test_an_own_classification_is_learned_and_answers(brainmvp, home, tmp_path):
    file = tmp_path / "side.json"
    classes = [{"key": "LEFT", "name": "Left"}, {"key": "RIGHT", "name": "Right-sided"}]
    file.write_text(json.dumps({"extends": "adni", "name": "side", "title": "Side", "classes": classes}))
    done(brainmvp("tasks", "add", file))
    clinic = hospital(get_task("adni"), tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("subject,label\n" + "".join(f"P{n},{('LEFT', 'RIGHT')[n % 2]}\n" for n in range(6)))
    said = done(brainmvp("index", clinic, "--task", "side", "--table", table))
    assert "of 6 patients (LEFT 3, RIGHT 3)" in said
    learn = (
        "finetune",
        "side",
        clinic / "index.json",
        "--out",
        tmp_path / "run",
        "--network",
        "unet-compact",
    )
    assert "Use it: brainmvp classify PATIENT --task side --model side@1" in done(brainmvp(*learn, *TINY))
    judge = ("evaluate", "side", clinic / "index.json", "--model", "side", "--out", tmp_path / "judged")
    assert "accuracy" in done(brainmvp(*judge, "--part", "all"))
    rows = list(csv.DictReader((tmp_path / "judged" / "cases.csv").open()))
    assert len(rows) == 6 and {row["class"] for row in rows} == {"LEFT", "RIGHT"}
    ask = ("classify", clinic / "P0" / "20240110", "--task", "side", "--json")
    said = json.loads(done(brainmvp(*ask)))
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"classes": classes[::-1]}))
    assert "in place of the one before" in done(brainmvp("tasks", "add", file))
    assert (
        json.loads(done(brainmvp(*ask)))["probabilities"] == said["probabilities"]
    )  # not the other way round
    file.write_text(json.dumps(content | {"classes": [classes[0], {"key": "BOTH", "name": "Both"}]}))
    done(brainmvp("tasks", "add", file))
    result = brainmvp(*ask)
    assert (
        result.exit_code == 2
        and "side@1 knows LEFT, RIGHT, and the side task has LEFT, BOTH" in result.stderr
    )
