"""`brainmvp finetune`, `evaluate`, `classify` and `tasks`: a row of the paper's table, in miniature."""

import csv
import json
import signal

import pytest
from commands import done
from labelled import TINY, make_case, write_cohort, write_index

from brainmvp.modelstore import ModelStore
from brainmvp.stop import StoppedError
from brainmvp.tasks import get_task

STROKE, ABIDE = get_task("stroke"), get_task("abide-1")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    return write_cohort(STROKE, 5, tmp_path_factory.mktemp("strokes"))


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    return write_cohort(ABIDE, 6, tmp_path_factory.mktemp("brains"))


def test_a_segmentation_is_learned_and_judged(brainmvp, home, strokes, tmp_path):
    run = tmp_path / "run"
    learn = ("finetune", "stroke", strokes, "--out", run, "--network", "unet-compact", *TINY)
    said = done(brainmvp(*learn))
    assert "3 train, 1 validation, 1 test" in said and "Stored as stroke@2" in said
    assert "From scratch: unet-compact, all weights new" in said
    model = ModelStore(home).get("stroke", 2)
    assert "Stored as stroke@2" in done(brainmvp(*learn)) and ModelStore(home).versions("stroke") == [1, 2]
    assert "Stored as ours@1" in done(brainmvp(*learn, "--name", "ours"))
    assert len(model.card.training["train"]) == 3 and "validation, 1 studies" in model.card.metrics
    out = tmp_path / "judged"
    command = ("evaluate", "stroke", strokes, "--model", "stroke@2", "--out", out)
    result = brainmvp(*command, "--part", "all", "--missing", "--against", "stroke@1")
    said = done(result)
    assert "stroke@2 has learned from 3 of these patients" in result.stderr
    assert "stroke@2 was chosen by 1 of these patients" in result.stderr
    assert "Compared with stroke@1" in said and "With some sequences only" in said
    rows = list(csv.DictReader((out / "cases.csv").open()))
    assert (
        len(rows) == 5 and {"case", "region", "dice", "hd95", "lesion_f1", "volume_error"} <= rows[0].keys()
    )
    summary = (out / "summary.md").read_text()
    assert "stroke@1 minus stroke@2" in summary and "Wilcoxon" in summary
    assert summary.count("●") == 8  # DWI with or without ADC and FLAIR
    assert r"\toprule" in (out / "summary.tex").read_text()
    assert {"cases.png", "calibration.png"} <= {path.name for path in out.iterdir()}
    said = done(brainmvp(*command, "--json"))
    answer = json.loads(said, parse_constant=pytest.fail)  # one patient has no interval, and JSON no NaN
    assert 0 <= answer["mean"]["dice"]["value"] <= 1
    split = strokes.parent / "index.stroke.split.json"
    split.rename(tmp_path / "aside.json")
    result = brainmvp(*command)
    assert "all 5 studies of the index are scored, whatever their part" in result.stderr
    (tmp_path / "aside.json").rename(split)
    for name in ("checkpoint.pt", "best.safetensors"):
        (run / name).unlink()
    assert "Stored as stroke@3" in done(brainmvp(*learn, "--lr", "1e-4"))


def test_a_classification_is_learned_judged_and_used(brainmvp, home, brains, tmp_path):
    done(
        brainmvp("finetune", "abide-1", brains, "--out", tmp_path / "run", "--network", "unet-compact", *TINY)
    )
    out = tmp_path / "judged"
    said = done(
        brainmvp(
            "evaluate", "abide-1", brains, "--model", "abide-1", "--part", "all", "--missing", "--out", out
        )
    )
    summary = (out / "summary.md").read_text()
    assert summary.count("●") == 1 and "HD95" not in summary
    assert "accuracy" in said and "0.6970" in said  # the paper's row beside ours
    rows = list(csv.DictReader((out / "cases.csv").open()))
    assert len(rows) == 6
    assert all(float(row["p(CONTROL)"]) + float(row["p(ASD)"]) == pytest.approx(1, abs=1e-4) for row in rows)
    study = brains.parent / "abide-1-0"
    report = json.loads(done(brainmvp("classify", study, "--task", "abide-1", "--json")))
    same = next(row for row in rows if row["case"].startswith("test_abide-1-0"))
    assert report["probabilities"]["ASD"] == pytest.approx(float(same["p(ASD)"]), abs=2e-3)
    assert report["sequences_used"] == ["T1"] and report["answer"] in ("ASD", "CONTROL")
    said = done(brainmvp("classify", study, "--task", "abide-1"))
    assert all(part in said for part in ("Autism", "not calibrated", "Not a medical device"))


def test_the_curve_of_labels_is_drawn_from_scratch_and_pretrained_and_goes_on_after_a_stop(
    brainmvp, home, strokes, tiny_models, tmp_path, monkeypatch
):
    from brainmvp.finetune import experiment

    tiny = ModelStore(tiny_models).resolve("stroke")
    first, second = (
        ModelStore(home).add(tiny.card.model_copy(update={"version": version}), tiny.load_weights()).card.id
        for version in (2, 3)
    )
    out = tmp_path / "curve"
    what = (
        "finetune",
        "stroke",
        strokes,
        "--out",
        out,
        "--from",
        f"{first},{second}",
        "--fraction",
        "0.3,1.0",
    )
    tested = []

    def score(task, model, cases, device):
        tested.append(model.card)
        if len(tested) == 3:
            signal.raise_signal(signal.SIGINT)
        return really(task, model, cases, device)

    really = experiment._test
    monkeypatch.setattr(experiment, "_test", score)
    assert "Stopped; the same command goes on" in done(brainmvp(*what, *TINY)) and len(tested) == 3
    said = done(brainmvp(*what, *TINY))
    assert len(tested) == 6 and {card.spacing for card in tested} == {4.0}
    rows = list(csv.DictReader((out / "runs.csv").open()))
    names = ("scratch", f"from {first}", f"from {second}")
    assert [(row["variant"], row["studies"]) for row in rows] == [(n, s) for n in names for s in "13"]
    assert (out / "curve.png").stat().st_size > 5000 and "training, s" in said
    for name in ("checkpoint.pt", "best.safetensors"):  # without either, the first run is another's to begin
        result = brainmvp(*what, *TINY, "--lr", "1e-4")
        assert result.exit_code == 2 and "holds another run (its recipe differs)" in result.stderr
        (out / "scratch-0.3-0" / name).unlink()
    result = brainmvp(*what, *TINY, "--lr", "1e-4")
    assert result.exit_code == 2 and len(tested) == 7


def test_a_fold_says_what_it_begins_with_and_is_tested_where_it_was_drawn(brainmvp, home, strokes, tmp_path):
    run, split = tmp_path / "run", tmp_path / "folds.json"
    where = ("--split", split, "--fold", "1")
    learn = ("finetune", "stroke", strokes, "--out", run, *TINY, *where)
    result = brainmvp(*learn, "--folds", "2", "--from", "tumour", "--published", "selection")
    said = done(result)
    assert "From tumour@1, a model for tumour: encoder kept, first convolution adapted" in said
    assert f"--split {split} --fold 1 --out" in said and len(json.loads(split.read_text())["folds"]) == 2
    assert "the test studies choose the best weights, as published" in result.stderr
    unwelcome = {
        "set up with another --epochs": ("--resume", "--epochs", "2"),
        "has 2 folds, not 3": ("--folds", "3"),
        "leave one of them out": ("--from", "tumour", "--network", "segresnet"),
    }
    for sentence, options in unwelcome.items():
        result = brainmvp(*learn, *options)
        assert result.exit_code == 2 and sentence in result.stderr


def test_networks_are_compared_on_one_split(brainmvp, home, strokes, tmp_path):
    out = tmp_path / "networks"
    done(brainmvp("finetune", "stroke", strokes, "--out", out, "--network", "unet-compact,segresnet", *TINY))
    rows = list(csv.DictReader((out / "runs.csv").open()))
    assert [row["variant"] for row in rows] == ["unet-compact", "segresnet"]
    assert all(float(row["inference_s"]) > 0 and int(row["parameters"]) > 1e6 for row in rows)


def test_every_start_keeps_its_own_spacing_and_no_row_of_another_grid_is_taken(
    brainmvp, home, strokes, tiny_models, tmp_path, monkeypatch
):
    from brainmvp.finetune import experiment

    tiny, store, began = ModelStore(tiny_models).resolve("stroke"), ModelStore(home), []
    for version, spacing in ((2, 4.0), (3, 5.0)):
        card = tiny.card.model_copy(update={"version": version, "spacing": spacing})
        store.add(card, tiny.load_weights())

    def learn(task, train, validation, start, recipe, folder, **how):
        began.append((start.card.id, how["fresh"], recipe.spacing, recipe.window, recipe.as_start))
        raise StoppedError

    monkeypatch.setattr(experiment, "finetune", learn)
    what = ("finetune", "stroke", strokes, "--out", tmp_path / "run", "--window", "16")
    monkeypatch.setattr(experiment, "_tested", lambda folder, test: None)
    done(brainmvp(*what, "--from", "stroke@3,stroke@2"))
    assert began == [("stroke@3", True, 5.0, (16, 16, 16), False)]
    facts = []
    row = {"training_s": 1.0, "inference_s": 1.0, "parameters": 1, "dice": 0.5, "hd95": 1.0}
    monkeypatch.setattr(experiment, "_tested", lambda folder, test: facts.append(test["run"]) or row)
    done(brainmvp(*what, "--from", "stroke@3,stroke@2"))
    done(brainmvp(*what, "--from", "stroke@2,stroke@3"))
    assert [(one["start"], one["grid"]["spacing"]) for one in facts] == [
        (None, 5.0), ("stroke@3", 5.0), ("stroke@2", 4.0), (None, 4.0), ("stroke@2", 4.0), ("stroke@3", 5.0),
    ]  # fmt: skip
    assert facts[0]["network"] == store.get("stroke", 3).card.network.model_dump(mode="json")


def test_bad_input_ends_in_one_sentence(brainmvp, home, strokes, brains, tmp_path):
    def refused(sentence, *arguments):
        result = brainmvp(*arguments)
        assert result.exit_code == 2, result.stdout
        assert sentence in result.stderr and len(result.stderr.strip().splitlines()) == 1

    run = ["--out", tmp_path / "run"]
    refused("no task named 'liver'", "finetune", "liver", strokes, *run)
    refused("'speed' is no published behaviour", "finetune", "stroke", strokes, *run, "--published", "speed")
    refused("'My model' is no name for a model", "finetune", "stroke", strokes, *run, "--name", "My model")
    refused("holds a number outside 0 to 1", "finetune", "stroke", strokes, *run, "--fraction", "2")
    refused("has no labelled study for abide-1", "finetune", "abide-1", strokes, *run)
    refused(
        "tumour@1 is a model for tumour, not for stroke",
        "evaluate",
        "stroke",
        strokes,
        "--model",
        "tumour",
        *run,
    )
    refused(
        "is a task to segment, not to classify", "classify", brains.parent / "abide-1-0", "--task", "stroke"
    )
    refused("There is no model for abide-1", "classify", brains.parent / "abide-1-0", "--task", "abide-1")
    refused("encoder, which answers no task yet; fine-tune it first", "evaluate", "stroke", strokes, "--model",
            "encoder", *run)  # fmt: skip
    refused("tumour@1 is a model for tumour", "classify", brains.parent / "abide-1-0", "--task", "abide-1",
            "--model", "tumour")  # fmt: skip
    split, patients = tmp_path / "split.json", [f"test/stroke-{n}" for n in range(5)]
    fold = {"train": patients[:4], "validation": patients[4:], "test": []}
    split.write_text(json.dumps({"task": "stroke", "seed": 0, "stratified_by": "size", "folds": [fold]}))
    refused("has nobody in test", "finetune", "stroke", strokes, *run, "--split", split, "--fraction", "1.0")
    refused("multiples of 16", "finetune", "stroke", strokes, *run, "--split", split, "--window", "40")
    split.write_bytes(b'{"task": "Schlaganf\xe4lle"}')
    refused("is no split", "finetune", "stroke", strokes, *run, "--split", split)
    assert not (tmp_path / "run").exists()


def test_a_label_that_fits_no_task_names_the_file(brainmvp, home, tmp_path):
    cases = [make_case(STROKE, f"s{n}", tmp_path, n) for n in range(4)]
    cases[2].label.unlink()
    result = brainmvp("finetune", "stroke", write_index(cases, tmp_path), "--out", tmp_path / "run")
    assert result.exit_code == 2 and "s2_seg.nii.gz is in the index but not there" in result.stderr


def test_the_published_behaviours_are_told(brainmvp):
    said = done(brainmvp("finetune", "--published", "help"))
    assert "stem" in said and "selection" in said


def test_tasks_are_listed_shown_and_added(brainmvp, home, tmp_path):
    listed = json.loads(done(brainmvp("tasks", "list", "--json")))
    assert {task["group"] for task in listed} == {"served", "published"} and len(listed) == 12
    assert json.loads(done(brainmvp("tasks", "show", "vs-seg", "--json")))["sequences"] == ["T1CE"]
    said = done(brainmvp("tasks", "show", "tumour"))
    assert "TC: Tumour core; needs T1CE" in said and "window 160 160 160" in said
    assert "MCI: Mild cognitive impairment" in done(brainmvp("tasks", "show", "adni"))
    file = tmp_path / "our-strokes.json"
    file.write_text(json.dumps({"extends": "isles-2022", "name": "our-strokes", "title": "Strokes here"}))
    done(brainmvp("tasks", "add", file))
    listed = done(brainmvp("tasks", "list"))
    assert "our-strokes" in listed and "brats-2018-grade" in listed  # whole, so that it can be typed
    stolen = tmp_path / "tumour.json"
    stolen.write_text(json.dumps({"extends": "isles-2022", "name": "tumour"}))
    result = brainmvp("tasks", "add", stolen)
    assert result.exit_code == 2 and "comes with BrainMVP" in result.stderr
