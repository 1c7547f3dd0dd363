"""A training run: what it leaves behind, and that stops, deaths and full disks change none of its numbers."""

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from cohorts import make_config, read_losses
from commands import done
from typer.testing import CliRunner, Result

from brainmvp.card import mark_of
from brainmvp.cli import app
from brainmvp.cohort import Index
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore
from pretraining.data.cache import Cache
from pretraining.data.prepare import prepare_cohort
from pretraining.run.checkpoint import saved
from pretraining.run.devices import make_fabric
from pretraining.run.loop import pretrain
from pretraining.run.validate import spread_out

# What a run of the command on the tiny index is told.
SMALL = ("--network", "unet-compact", "--spacing", 4, "--patch", 16, 16, 16, "--workers", 0,
         "--accelerator", "cpu")  # fmt: skip


def command(index: Path, out: Path, *options: Any) -> Result:
    """Run `brainmvp pretrain` in this process."""
    line = ["pretrain", index, "--out", out, *options]
    return CliRunner().invoke(app, [str(part) for part in line])


def run(index: Path, out: Path, config: Any, **options: Any) -> Path | None:
    options = {"workers": 0, "log_every": 1, "validate_every": 1000, **options}
    return pretrain(index, out, config, make_fabric("cpu"), **options)


def on_step(step: int, act: Callable[[], None]) -> Callable[[dict], None]:
    """Return a report that acts once, when a step is written."""
    return lambda record: act() if record.get("step") == step and "total" in record else None


def warnings(out: Path) -> list[str]:
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [record["warning"] for record in records if "warning" in record]


def test_a_run_folder_is_complete(tiny_index, tmp_path) -> None:
    model = run(tiny_index, tmp_path / "run", make_config(), validate_every=4)
    files = {
        path.relative_to(tmp_path / "run").as_posix()
        for path in (tmp_path / "run").rglob("*")
        if path.is_file()
    }
    assert model == tmp_path / "run" / "model"
    assert {
        "config.json", "environment.json", "log.jsonl", "pictures/curves.png", "pictures/templates.png",
        "pictures/reconstructions.png", "model/card.json", "model/weights.safetensors", "model/published.pt",
        "model/templates/T1.nii.gz", "checkpoints/step-0000006.pt",
    } <= files  # fmt: skip
    assert any(file.startswith("tensorboard/events") for file in files)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["index"]["sha256"] == Index.read(tiny_index).fingerprint
    (environment,) = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__ and environment["devices"] == "1 x CPU"
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    scores = [json.loads(line) for line in lines if "psnr_1" in line]
    assert [score["step"] for score in scores] == [4, 6]
    assert all(0 < score["psnr_1"] < 100 and -1 <= score["ssim_2"] <= 1 for score in scores)
    assert any("no GPU" in warning and "slow" in warning for warning in warnings(tmp_path / "run"))


def test_a_process_that_is_killed_is_resumed_to_the_same_losses(
    tiny_index, tmp_path, monkeypatch, one_thread
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    what = (*SMALL, "--batch", 2, "--epochs", 60, "--log-every", 1, "--save-every", 10)
    line = [sys.executable, "-m", "brainmvp", "pretrain", tiny_index, "--out", tmp_path / "killed", *what]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(list(map(str, line)), env=environment, stdout=subprocess.DEVNULL)
    log = tmp_path / "killed" / "log.jsonl"
    while process.poll() is None and not (log.is_file() and '"step": 11,' in log.read_text()):
        time.sleep(0.01)
    assert process.poll() is None
    process.kill()
    process.wait()
    done(command(tiny_index, tmp_path / "whole", *what, "--steps", 20))
    resumed = ("--workers", 0, "--accelerator", "cpu", "--log-every", 1, "--steps", 20, "--resume")
    done(command(tiny_index, tmp_path / "killed", *resumed))
    assert len(read_losses(tmp_path / "whole")) == 20
    assert read_losses(tmp_path / "killed")[:20] == read_losses(tmp_path / "whole")
    assert len(json.loads((tmp_path / "killed" / "environment.json").read_text())) == 2


def test_a_finished_run_says_so_and_is_neither_written_nor_stored_again(
    tiny_index, tmp_path, monkeypatch
) -> None:
    home, out = tmp_path / "home", tmp_path / "run"
    new = ModelStore(home).next_version("encoder")
    monkeypatch.setenv("BRAINMVP_HOME", str(home))
    first = done(command(tiny_index, out, *SMALL, "--epochs", 1))
    assert f"Stored as encoder@{new}" in first
    assert "is finished" not in first and ModelStore(home).served("encoder") == new
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = done(command(tiny_index, out, *SMALL, "--epochs", 1, "--resume"))
    assert "is finished: nothing was trained" in again
    assert f"Stored as encoder@{new}" in again and ModelStore(home).next_version("encoder") == new + 1
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [("--devices", "many", "no number of devices"), ("--store", "../encoder", "no name for a model")],
)
def test_an_option_that_cannot_be_is_refused_before_the_work(
    tiny_index, tmp_path, option, value, sentence
) -> None:
    refused = command(tiny_index, tmp_path / "run", option, value)
    assert refused.exit_code == 2 and sentence in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1"])
def test_a_signal_ends_the_run_with_a_checkpoint(tiny_index, tmp_path, whole, name: str) -> None:
    out = tmp_path / "run"
    stopped = run(
        tiny_index, out, make_config(), report=on_step(2, lambda: signal.raise_signal(getattr(signal, name)))
    )
    assert stopped is None and [path.name for path in saved(out / "checkpoints")] == ["step-0000002.pt"]
    assert f"Stopped by {name} after step 2; --resume goes on from there." in warnings(out)
    assert run(tiny_index, out, None) == out / "model"
    assert read_losses(out) == whole


def test_a_killed_worker_is_replaced(tiny_index, tmp_path) -> None:
    def kill() -> None:
        for child in psutil.Process().children(recursive=True):
            if not child.children() and "forkserver" in " ".join(child.cmdline()):
                child.kill()

    out = tmp_path / "run"
    assert run(tiny_index, out, make_config(epochs=20), workers=1, steps=12, report=on_step(1, kill)) is None
    assert any("New workers go on from batch" in warning for warning in warnings(out))
    run(tiny_index, tmp_path / "undisturbed", make_config(epochs=20), steps=12)
    assert read_losses(out) == read_losses(tmp_path / "undisturbed")


def test_a_full_disk_costs_neither_the_run_nor_the_checkpoint_before(tiny_index, tmp_path, whole) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_and_empty(record: dict) -> None:
        if "total" in record:  # the checkpoint of step 3 does not fit, those around it do
            room = 50_000 if record["step"] == 3 else limits[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    out = tmp_path / "run"
    try:
        run(tiny_index, out, make_config(), save_every=1, steps=4, report=fill_and_empty)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (warning,) = [line for line in warnings(out) if "could not be written" in line]
    assert "step-0000003.pt" in warning and "make room on its disk" in warning
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        "step-0000002.pt",
        "step-0000004.pt",
    ]
    run(tiny_index, out, None)
    assert read_losses(out) == whole


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_costs_lines_of_the_log_and_not_the_run(tiny_index, tmp_path, whole) -> None:
    limits, told, out = resource.getrlimit(resource.RLIMIT_FSIZE), [], tmp_path / "run"

    def fill_and_empty(record: dict) -> None:
        told.append(record)
        if record.get("step") in (2, 4) and "total" in record:
            room = (out / "log.jsonl").stat().st_size + 20 if record["step"] == 2 else limits[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    try:
        model = run(tiny_index, out, make_config(), validate_every=3, report=fill_and_empty)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert model == out / "model"
    steps = [record for record in told if "total" in record]
    assert [record["total"] for record in steps] == [row[0] for row in whole]
    (warning,) = [record["warning"] for record in told if "could be written" in record.get("warning", "")]
    assert str(out) in warning and "make room on its disk: the run goes on" in warning
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in lines if "total" in record] == [1, 2, 5, 6]


def test_held_out_studies_are_spread_over_all() -> None:
    assert spread_out(range(7), 3) == [0, 3, 6]
    assert spread_out(range(3), 64) == [0, 1, 2]
    assert len(set(spread_out(range(200), 64))) == 64


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tiny_index, tmp_path, whole) -> None:
    out = tmp_path / "run"
    run(tiny_index, out, make_config(), save_every=2, steps=4)
    newest = saved(out / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    run(tiny_index, out, None)
    assert any("step-0000004.pt is damaged" in warning for warning in warnings(out))
    assert read_losses(out) == whole
    shutil.rmtree(out / "model")  # as if it had ended before its model was written
    for path in saved(out / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(BrainMVPError, match="a checkpoint that can be read"):
        run(tiny_index, out, None)


def test_a_line_of_the_log_is_the_mean_of_all_its_steps_whatever_is_saved_between(
    tiny_index, tmp_path
) -> None:
    def totals(name: str, **every: int) -> list[float]:
        run(tiny_index, tmp_path / name, make_config(), **every)
        lines = map(json.loads, (tmp_path / name / "log.jsonl").read_text().splitlines())
        return [line["total"] for line in lines if "total" in line]

    each = totals("each")
    (mean,) = totals("once", log_every=1000, save_every=len(each) - 2)
    assert len(each) > 3 and mean == pytest.approx(sum(each) / len(each), rel=1e-4)


@pytest.mark.parametrize("looked_at", ["log_every", "validate_every", "save_every"])
def test_a_run_whose_loss_is_no_number_ends_before_it_is_saved_or_exported(
    tiny_index, tmp_path, looked_at: str
) -> None:
    out, every = tmp_path / "run", {"log_every": 1000, "save_every": 1000, looked_at: 1}
    with pytest.raises(
        BrainMVPError, match=r"not a number after step \d: lower the learning rate \(1e\+30\)"
    ):
        run(tiny_index, out, make_config(learning_rate=1e30), **every)
    for path in saved(out / "checkpoints"):
        weights = torch.load(path, weights_only=True)["model"]
        assert all(value.isfinite().all() for value in weights.values())
    assert not (out / "model").exists() and '"total": NaN' not in (out / "log.jsonl").read_text()


def test_weights_that_are_no_numbers_are_not_exported(tiny_index, tmp_path) -> None:
    out = tmp_path / "run"
    run(tiny_index, out, make_config(), validate_every=1000)
    shutil.rmtree(out / "model")  # as if it had ended before its model was written
    (newest, *_) = saved(out / "checkpoints")
    content = torch.load(newest, weights_only=True)
    content["model"]["templates"][0, 0, 0, 0] = math.nan
    torch.save(content, newest)
    with pytest.raises(BrainMVPError, match=r"weights in .* are not numbers: lower the learning rate"):
        run(tiny_index, out, None)
    assert not (out / "model").exists()


def test_accumulation_counts_every_study_alike_across_the_ends_of_epochs(tiny_index, tmp_path) -> None:
    # Four studies and three per step: epochs end within steps. Contrast has other negatives in parts. A rate below what
    # single precision can add leaves the weights exactly as they are: every step shows its own gradients, and not what
    # Adam made of earlier roundings (which voxel of a flat template is its largest decides where its gradient goes).
    changes = {"contrast_weight": 0, "epsilon": 1e-3}
    for name, batch, accumulate in (("at once", 3, 1), ("in parts", 1, 3)):
        config = make_config("script", epochs=6, batch=batch, accumulate=accumulate, learning_rate=1e-60)
        recipe = config.recipe.model_copy(update=changes)
        run(tiny_index, tmp_path / name, config.model_copy(update={"recipe": recipe}))
    one, other = read_losses(tmp_path / "at once"), read_losses(tmp_path / "in parts")
    assert len(one) == 8
    torch.testing.assert_close(torch.tensor(other), torch.tensor(one), rtol=2e-3, atol=1e-12)
    rates = [1e-60 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert [row[-1] for row in one] == pytest.approx(rates, rel=1e-6, abs=0)


def test_a_cohort_of_one_study_has_no_contrast(tiny_index, tmp_path) -> None:
    index = Index.read(tiny_index)
    index.with_sessions(index.sessions[:1]).write(tiny_index)  # a, of three sequences, twice per step
    config = make_config()
    recipe = config.recipe.model_copy(update={"contrast_from": 0})
    run(tiny_index, tmp_path / "run", config.model_copy(update={"recipe": recipe}), steps=1)
    assert [row[3] for row in read_losses(tmp_path / "run")] == [0.0]


def test_the_phases_of_a_short_run_begin_after_the_same_share() -> None:
    assert make_config("script", epochs=15).recipe.template_until == 3
    assert make_config(epochs=15).recipe.contrast_from == 10
    assert make_config(epochs=15).recipe.template_until == -1


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda index, config, out: run(index, out, config), "holds a run; add --resume"),
        (lambda index, config, out: run(index, out / "new", None), "holds no run to resume"),
        (lambda index, config, out: run(index, out / "new", coarser(config)), "not prepared"),
        (lambda index, config, out: run(change(index), out, None), "trained on another index"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(tiny_index, tmp_path, act, sentence: str) -> None:
    run(tiny_index, tmp_path / "run", make_config(), steps=1)
    before = sorted((tmp_path / "run").rglob("*"))
    with pytest.raises(BrainMVPError, match=sentence):
        act(tiny_index, make_config(), tmp_path / "run")
    assert [path for path in before if not path.exists()] == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("processes", 2, "is a run of 2 processes, one per device, not of 1; start as many"),
        ("precision", "bf16-mixed", "is a run in bf16-mixed, not in 32-true; add --precision bf16-mixed"),
        ("studies", 3, "is a run on 3 prepared studies, and the cache has 4"),
    ],
)
def test_a_run_goes_on_under_the_conditions_that_it_began_under_only(
    tiny_index, tmp_path, name, value, sentence
) -> None:
    out = tmp_path / "run"
    run(tiny_index, out, make_config(), steps=1)
    record = json.loads((out / "config.json").read_text())
    assert record["conditions"] == {"processes": 1, "precision": "32-true", "studies": 4}
    record["conditions"][name] = value
    (out / "config.json").write_text(json.dumps(record))
    with pytest.raises(BrainMVPError, match=sentence):
        run(tiny_index, out, None)


def test_a_stopped_run_is_gone_on_with_as_it_was(tiny_index, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    how = (*SMALL, "--epochs", 3, "--devices", 1, "--precision", "32-true", "--deterministic", "--store", "")
    stopped = command(tiny_index, tmp_path / "run", *how, "--steps", 1)
    again = "--accelerator cpu --devices 1 --precision 32-true --deterministic --store '' --resume"
    assert f"--out {tmp_path / 'run'} --workers 0 {again}" in stopped.stdout, stopped.stderr
    for option, value in (
        ("--network", ["unet"]),
        ("--config", ["script"]),
        ("--patch", [32] * 3),
        ("--epochs", [4]),
    ):
        refused = command(tiny_index, tmp_path / "run", *how, option, *value, "--resume")
        assert refused.exit_code == 2 and f"set up with another {option}; leave it out" in refused.stderr
    assert "Model: " in command(tiny_index, tmp_path / "run", *how, "--config", "paper", "--resume").stdout


def test_studies_that_are_not_prepared_are_told_and_left_out(tiny_index, tmp_path) -> None:
    for study in ("a", "e"):  # e is held out
        next((tmp_path / "index.cache").glob(f"in_{study}_1-*/study.json")).unlink()
    told: list[dict] = []
    run(tiny_index, tmp_path / "run", make_config(), steps=1, report=told.append)
    sentences = [record["warning"] for record in told if "warning" in record]
    assert "Left out in/a/1 and 1 more: not prepared; run `brainmvp prepare` to see why." in sentences
    assert any("No study is held out" in sentence for sentence in sentences)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["conditions"]["studies"] == 3 and record["left_out"] == ["in/a/1", "in/e/1"]
    prepare_cohort(Index.read(tiny_index), Cache(tmp_path / "index.cache", 4.0))
    run(tiny_index, tmp_path / "run", None)  # goes on as it began, though they are prepared now
    card = json.loads((tmp_path / "run" / "model" / "card.json").read_text())
    assert card["training"]["scans"] == sorted(map(mark_of, ("in/b", "in/c", "in/d")))
    assert card["data"] == ["in: 3 visits"]
    assert card["sequences"] == ["T1", "T2", "DWI"]  # only a has FLAIR
    assert "pretrained on 3 studies" in card["title"]


def test_a_run_goes_on_only_with_the_series_that_it_began_with(tiny_index, tmp_path) -> None:
    index, cache = Index.read(tiny_index), Cache(tmp_path / "index.cache", 4.0)
    images = {name: tmp_path / "in" / name for name in ("b/b_t1.nii.gz", "c/c_t1.nii.gz")}
    whole = {name: image.read_bytes() for name, image in images.items()}
    for image in images.values():
        image.write_bytes(b"nothing")
    assert len(prepare_cohort(index, cache)) == 2  # nothing of b, and T2 of c
    run(tiny_index, tmp_path / "run", make_config(), steps=1)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["left_out"] == ["in/b/1"]
    images["b/b_t1.nii.gz"].write_bytes(whole["b/b_t1.nii.gz"])
    assert len(prepare_cohort(index, cache)) == 1
    run(tiny_index, tmp_path / "run", None, steps=2)
    images["c/c_t1.nii.gz"].write_bytes(whole["c/c_t1.nii.gz"])
    assert prepare_cohort(index, cache) == []
    with pytest.raises(
        BrainMVPError, match=r"began with T2 of .* of in/c/1, and the cache has T1, T2 of .* of it now"
    ):
        run(tiny_index, tmp_path / "run", None)


def coarser(config: Any) -> Any:
    return config.model_copy(update={"spacing": 8.0})


def change(path: Path) -> Path:
    index = Index.read(path)
    return index.with_sessions(index.sessions[1:]).write(path)


def test_a_wrong_sequence_name_is_a_line_and_the_run_goes_on(tiny_index, tmp_path) -> None:
    content = json.loads(tiny_index.read_text())
    content["sessions"][0]["images"][0]["sequence"] = "T7"
    tiny_index.write_text(json.dumps(content))
    told: list[dict] = []
    index = Index.read(tiny_index, on_error=lambda sentence: None)
    prepare_cohort(index, Cache(tmp_path / "index.cache", 4.0))
    run(tiny_index, tmp_path / "run", make_config(), steps=1, report=told.append)
    assert "'T7' is no sequence" in told[0]["warning"]
