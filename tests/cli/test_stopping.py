"""A fine-tuning that is stopped, by a signal or killed, goes on to the same numbers."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from commands import done
from labelled import TINY, write_cohort

from brainmvp.modelstore import ModelStore
from brainmvp.tasks import get_task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    return write_cohort(get_task("stroke"), 5, tmp_path_factory.mktemp("strokes"))


def timeless(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def test_a_run_that_was_killed_goes_on_to_the_same_numbers(brainmvp, home, strokes, tmp_path):
    what = ("finetune", "stroke", strokes, "--network", "unet-compact", *TINY, "--batch", "1", "--epochs", "3",
            "--steps-per-epoch", "2", "--validate-every", "1")  # fmt: skip
    history = tmp_path / "killed" / "history.json"
    line = [sys.executable, "-m", "brainmvp", *what, "--out", tmp_path / "killed"]
    process = subprocess.Popen(
        list(map(str, line)), env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not (history.is_file() and '"epoch": 1' in history.read_text()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not ModelStore(home).versions("stroke")[1:] and len(json.loads(history.read_text())) < 3
    done(brainmvp("finetune", "stroke", strokes, "--out", tmp_path / "killed", "--resume", "--device", "cpu"))
    done(brainmvp(*what, "--out", tmp_path / "whole"))
    whole = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert len(whole) == 3 and timeless(json.loads(history.read_text())) == timeless(whole)
    killed, undisturbed = (ModelStore(home).get("stroke", version).load_weights() for version in (2, 3))
    assert all(torch.equal(killed[key], value) for key, value in undisturbed.items())


def test_a_signal_ends_a_run_and_nothing_is_stored_before_its_end(
    brainmvp, home, strokes, tmp_path, monkeypatch
):
    from brainmvp.cli import finetune_run

    def describe(progress):
        signal.raise_signal(signal.SIGINT)
        return "stopped"

    what = ("finetune", "stroke", strokes, "--out", tmp_path / "run", "--network", "unet-compact", *TINY)
    with monkeypatch.context() as patch:
        patch.setattr(finetune_run, "describe", describe)
        said = done(brainmvp(*what, "--cache", tmp_path / "kept", "--workers", "1"))
    assert f"Stopped; go on with: brainmvp finetune stroke {strokes} --out" in said
    assert f"--cache {tmp_path / 'kept'} --workers 1 --device cpu --resume" in said
    assert ModelStore(home).versions("stroke") == [1]
    assert "Stored as stroke@2" in done(brainmvp(*what[:5], "--resume", "--device", "cpu"))


@pytest.mark.parametrize("options", [(), ("--fraction", "1.0")])
def test_a_signal_ends_the_preparing_of_studies(brainmvp, home, strokes, tmp_path, monkeypatch, options):
    from brainmvp.finetune.prepared import Preparation

    def one(self, case, folder):
        signal.raise_signal(signal.SIGTERM)
        return really(self, case, folder)

    really = Preparation.one
    monkeypatch.setattr(Preparation, "one", one)
    what = ("finetune", "stroke", strokes, "--out", tmp_path / "run", "--network", "unet-compact", *TINY)
    assert "Stopped; " in done(brainmvp(*what, *options, "--workers", "1"))
    assert list((tmp_path / "run").rglob("prepared/*.json")) and not list(tmp_path.rglob("checkpoint.pt"))
