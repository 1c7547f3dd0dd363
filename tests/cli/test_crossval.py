"""A cross-validation: every fold is trained, each patient is tested once, and by no model that has seen them."""

import csv
import json

import pytest
from commands import done
from labelled import TINY, make_cases, write_cohort, write_index

from brainmvp.card import mark_of
from brainmvp.modelstore import ModelStore
from brainmvp.tasks import get_task

STROKE = get_task("stroke")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    return write_cohort(STROKE, 4, tmp_path_factory.mktemp("strokes"))


@pytest.fixture
def models(home, tiny_models, strokes, tmp_path):
    """Return the store with `stroke@2` and `@3` of two folds, `@4` from `@3` in the other fold, and their split."""
    patients = [f"test/stroke-{n}" for n in range(4)]
    folds = [
        {"train": patients[2:3], "validation": patients[3:], "test": patients[:2]},
        {"train": patients[:1], "validation": patients[1:2], "test": patients[2:]},
    ]
    split = tmp_path / "folds.json"
    split.write_text(json.dumps({"task": "stroke", "seed": 0, "stratified_by": "size", "folds": folds}))
    tiny, store = ModelStore(tiny_models).resolve("stroke"), ModelStore(home)
    for version, fold, parent in ((2, folds[0], None), (3, folds[1], None), (4, folds[0], "stroke@3")):
        said = str if version == 2 else mark_of  # older cards have the names themselves
        ids = {
            side: [said(f"{p.replace('/', '_')}_1") for p in fold[side]] for side in ("train", "validation")
        }
        update = {"version": version, "training": ids, "parent": parent}
        store.add(tiny.card.model_copy(update=update), tiny.load_weights())
    return split


def test_all_folds_are_trained_and_joined_in_one_table(brainmvp, home, strokes, tmp_path):
    run, split = tmp_path / "run", tmp_path / "folds.json"
    learn = (
        "finetune",
        "stroke",
        strokes,
        "--out",
        run,
        "--network",
        "unet-compact",
        *TINY,
        "--split",
        split,
    )
    said = done(brainmvp(*learn, "--folds", "2", "--fold", "all"))
    assert "fold 0 of 2" in said and "fold 1 of 2" in said
    assert f"--model stroke@2,stroke@3 --split {split} --out {run / 'test'}" in said
    assert "Stored as stroke@3" in done(brainmvp(*learn[:5], "--split", split, "--fold", "all", "--resume"))
    assert ModelStore(home).versions("stroke") == [1, 2, 3]
    out = tmp_path / "judged"
    judge = ("evaluate", "stroke", strokes, "--model", "stroke@3, stroke@2", "--split", split, "--out", out)
    said = done(brainmvp(*judge, "--against", "stroke@1"))
    summary = (out / "summary.md").read_text()
    assert "stroke@2, stroke@3, 4 studies" in said and "# Stroke" not in said and "By fold" in said
    assert "| 1 | stroke@3 |" in summary and "by the model that did not see them" in summary
    rows = list(csv.DictReader((out / "cases.csv").open()))
    tested = json.loads(split.read_text())["folds"]
    assert {row["patient"]: row["model"] for row in rows} == {
        patient: f"stroke@{fold + 2}" for fold in (0, 1) for patient in tested[fold]["test"]
    }
    against = list(csv.DictReader((out / "cases-against.csv").open()))
    assert [row["case"] for row in against] == [row["case"] for row in rows]
    assert {row["model"] for row in against} == {"stroke@1"}


def test_the_classes_of_all_folds_are_joined(brainmvp, home, tmp_path):
    task = get_task("abide-1")
    index = write_index(make_cases(task, 6, tmp_path / "brains"), tmp_path / "brains")
    learn = ("finetune", "abide-1", index, "--out", tmp_path / "run", "--network", "unet-compact", *TINY)
    done(brainmvp(*learn, "--folds", "2", "--fold", "all"))
    judge = ("evaluate", "abide-1", index, "--model", "abide-1@1,abide-1@2", "--out", tmp_path / "judged")
    answer = json.loads(done(brainmvp(*judge, "--json")))
    rows = list(csv.DictReader((tmp_path / "judged" / "cases.csv").open()))
    assert len(rows) == 6 and {row["model"] for row in rows} == {"abide-1@1", "abide-1@2"}
    right = sum(row["class"] == row["answer"] for row in rows) / 6
    assert answer["mean"]["accuracy"]["value"] == pytest.approx(right)
    assert "AUC is of the probabilities of all folds" in (tmp_path / "judged" / "summary.md").read_text()


def test_one_model_is_tested_on_its_own_fold(brainmvp, models, strokes, tmp_path):
    judge = ("evaluate", "stroke", strokes, "--split", models, "--out", tmp_path / "judged")
    result = brainmvp(*judge, "--model", "stroke@3")
    assert "fold 1 of 2" in result.stderr and "2 studies" in done(result)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "stroke@2,stroke@2"], "stroke@2 and stroke@2 are both of fold 0"),
        (["--model", "stroke@2,stroke@1"], "stroke@1 was trained in no fold of"),
        (
            ["--model", "stroke@4,stroke@3"],
            "tested on test/stroke-0, from whom its start stroke@3 has learned",
        ),
        (
            ["--model", "stroke@2", "--fold", "1"],
            "would be tested on test/stroke-2, from whom it has learned",
        ),
        (["--model", "stroke@2", "--against", "stroke@3"], "stroke@3 would be tested on test/stroke-0"),
        (["--model", "stroke@2,stroke@3", "--fold", "1"], "and neither --fold nor --part"),
        (["--model", "stroke@2", "--against", "stroke@2,stroke@3"], "has several models and --model has one"),
    ],
)
def test_what_cannot_be_tested_is_refused(brainmvp, models, strokes, tmp_path, options, sentence):
    out = tmp_path / "judged"
    result = brainmvp("evaluate", "stroke", strokes, "--split", models, "--out", out, *options)
    assert result.exit_code == 2 and sentence in result.stderr, result.stdout
    assert result.stderr.count("Error: ") == 1 and not out.exists()


def test_a_fold_without_model_and_a_split_of_another_task_are_refused(brainmvp, models, strokes, tmp_path):
    folds = json.loads(models.read_text())
    third = {"train": ["test/stroke-0"], "validation": ["test/stroke-2"], "test": ["test/stroke-1"]}
    third["test"] += ["test/stroke-3"]
    models.write_text(json.dumps(folds | {"folds": [*folds["folds"], third]}))
    judge = ("evaluate", "stroke", strokes, "--split", models, "--out", tmp_path / "judged", "--model")
    result = brainmvp(*judge, "stroke@2,stroke@3")
    assert result.exit_code == 2 and "None of these models is of fold 2" in result.stderr
    one = ("--model", "stroke@2", "--fold", "1", "--out", tmp_path / "judged")
    for part, why in (
        ("all", "--part all scores everybody"),
        ("test", "split.json is not there; give --split"),
    ):
        result = brainmvp("evaluate", "stroke", strokes, *one, "--part", part)
        assert result.exit_code == 2 and why in result.stderr
    models.write_text(json.dumps(folds | {"task": "tumour"}))
    result = brainmvp(*judge, "stroke@2")
    assert result.exit_code == 2 and f"{models} is a split for tumour, not for stroke" in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--fold", "all"], "has one fold; add --folds 5 and another --split"),
        (["--fold", "last"], "--fold last is neither the number of a fold, from 0, nor `all`"),
        (["--fold", "all", "--fraction", "1.0"], "--fold all is for a single model"),
        (["--fraction", "1.0", "--name", "mine"], "--name is for a single model"),
        (["--seeds", "3"], "--seeds is for a comparison or a curve"),
    ],
)
def test_options_that_would_be_ignored_are_refused(brainmvp, home, strokes, tmp_path, options, sentence):
    split = tmp_path / "split.json"
    what = ("finetune", "stroke", strokes, "--split", split, "--out", tmp_path / "run", *TINY)
    result = brainmvp(*what, *options)
    assert result.exit_code == 2 and sentence in result.stderr
    assert not split.exists() and not (tmp_path / "run").exists()


def test_what_the_annotation_loop_taught_and_what_an_encoder_saw_is_known(
    brainmvp, home, models, strokes, tiny_models, tmp_path
):
    store, tiny = ModelStore(home), ModelStore(tiny_models).resolve("stroke")

    def add(version, **update):
        card = tiny.card.model_copy(update={"version": version, **update})
        store.add(card, tiny.load_weights())

    add(5, training={"train": ["stroke-1"], "validation": []})  # by the name of its folder
    scans = [*map(mark_of, ("test/stroke-0", "else/stroke-1"))]
    add(6, training={"scans": scans, "train": ["renamed_stroke-1_1"]})
    judge = (
        "evaluate",
        "stroke",
        strokes,
        "--split",
        models,
        "--out",
        tmp_path / "judged",
        "--fold",
        "0",
        "--model",
    )
    result = brainmvp(*judge, "stroke@5")
    assert result.exit_code == 2 and "tested on test/stroke-1, from whom it has learned" in result.stderr
    result = brainmvp(*judge, "stroke@6")
    assert "2 studies" in done(result)
    assert "stroke@6 has seen scans of 1 of these patients, such as test/stroke-0" in result.stderr
    assert "stroke@6 has learned from 1 study of other names than this index has" in result.stderr
    learn = ("finetune", "stroke", strokes, "--out", tmp_path / "run", "--split", models, *TINY)
    result = brainmvp(*learn, "--from", "stroke@6")
    assert (
        "stroke@6 has seen scans of 1 of the test patients, such as test/stroke-0; to test" in result.stderr
    )


def test_a_start_that_knows_the_test_is_told(brainmvp, models, strokes, tmp_path):
    learn = ("finetune", "stroke", strokes, "--out", tmp_path / "run", "--split", models, *TINY)
    result = brainmvp(*learn, "--from", "stroke@3", "--published", "selection")
    assert "stroke@3 has learned from 1 of the test patients, such as test/stroke-0" in result.stderr
    assert "by the test studies, as published:" in done(result)
    card = ModelStore().get("stroke", 5).card
    assert list(card.metrics) == ["test, 2 studies"] and card.training["validation"][0] == mark_of(
        "test_stroke-0_1"
    )
    assert "stroke-0" not in card.model_dump_json()
    unwelcome = {
        "another --from": ("--from", "stroke@2"),
        "another --seed": ("--seed", "3"),
        "another --network": ("--network", "unet"),
        "not a comparison": ("--fraction", "0.5"),
    }
    for sentence, options in unwelcome.items():
        result = brainmvp(*learn[:5], "--resume", *options)
        assert result.exit_code == 2 and sentence in result.stderr
