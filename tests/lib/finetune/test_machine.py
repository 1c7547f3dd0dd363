"""Two processes share a step out and take it as one with the double batch would."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from labelled import make_cases
from torch.nn import functional

from brainmvp.device import ending_together, processes_for
from brainmvp.errors import BrainMVPError
from brainmvp.finetune import finetune, loop
from brainmvp.finetune.machine import ManyDevices, OneDevice
from brainmvp.finetune.run import Run
from brainmvp.finetune.segmentation import SegmentationProblem
from brainmvp.tasks import get_task

pytest.importorskip("lightning", reason="Lightning is not installed")
STROKE = get_task("stroke")
TINY = {
    "network": "unet-compact", "spacing": 4.0, "window": (16, 16, 16), "epochs": 1, "validate_every": 1,
    "steps_per_epoch": 1, "batch": 1, "seed": 5,
}  # fmt: skip


class KeptRun(Run):
    """The runs of this process, to look into."""

    made: ClassVar[list[Run]] = []

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.made.append(self)


def _error(problem, network, batch):
    """Return the mean squared error of a batch: unlike the Dice of a batch, the mean of those of its halves."""
    found = network(batch["images"].flatten(0, 1))
    return functional.mse_loss(found, batch["targets"].float().repeat_interleave(batch["images"].shape[1], 0))


def _learn(root: Path, name: str, batch: int, machine: OneDevice) -> None:
    """Take one step, and write what this process has then: weights, gradients, losses."""
    torch.set_num_threads(1)
    cases = make_cases(STROKE, 4, root / f"{name}-{machine.rank}")
    recipe = STROKE.recipe.model_copy(update=TINY | {"batch": batch})
    # Nobody wants to stop: both processes have to agree on that.
    finetune(
        STROKE, cases[:2], cases[2:], None, recipe, root / name, machine=machine, should_stop=lambda: False,
        cache=root / f"kept-{name}-{machine.rank}",
    )  # fmt: skip
    (run,) = KeptRun.made
    found = {
        "weights": run.weights(),
        "gradients": {n: p.grad for n, p in run.network.named_parameters() if p.grad is not None},
        "record": {"loss": torch.tensor(run.history[0]["loss"]), "scores": run.best["scores"]},
        "world": machine.world,
    }
    torch.save(found, root / f"{name}-{machine.rank}.pt")


def _diverge(root: Path, machine: OneDevice) -> None:
    """Take steps of which only the second process sees that they come to nothing; write what each says of it."""
    torch.set_num_threads(1)

    def loss(problem, network, batch):
        return _error(problem, network, batch) * (float("nan") if machine.rank else 1.0)

    SegmentationProblem.loss = loss  # of a forked process
    cases = make_cases(STROKE, 4, root / f"cases-{machine.rank}")
    recipe = STROKE.recipe.model_copy(update=TINY | {"steps_per_epoch": 3})
    with pytest.raises(BrainMVPError) as told:
        finetune(
            STROKE,
            cases[:2],
            cases[2:],
            None,
            recipe,
            root / "run",
            machine=machine,
            cache=root / f"kept-{machine.rank}",
        )
    (root / f"{machine.rank}.txt").write_text(str(told.value))


def test_the_processes_that_torchrun_or_srun_has_started_train_together(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    assert processes_for(None, None) == (1, 1)
    srun = {"STEP_NUM_TASKS": 4, "STEP_NUM_NODES": 2, "NTASKS": 4, "NTASKS_PER_NODE": 2, "NNODES": 2}
    srun |= {"PROCID": 3, "NODEID": 1, "LOCALID": 1}
    torchrun = {
        "TORCHELASTIC_RUN_ID": "a",
        "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2,
        "RANK": 1,
        "LOCAL_RANK": 1,
    }
    for started, expected in (
        ({f"SLURM_{name}": number for name, number in srun.items()}, (2, 2)),
        (torchrun, (2, 1)),
    ):
        for name, value in started.items():
            monkeypatch.setenv(name, str(value))
        assert processes_for(None, None) == processes_for(2, None) == expected
        assert ManyDevices("cpu", *expected).world == expected[0] * expected[1]
        with pytest.raises(BrainMVPError, match=r"started 2 x .*; leave --devices and --nodes out"):
            processes_for(4, None)


def test_more_gpus_than_there_are_is_one_sentence_that_says_which_there_are(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(
        BrainMVPError, match=r"^So many devices cannot be used: [^\n]*machine only has: \[0\]\.$"
    ):
        ManyDevices("cuda", 8)


def test_a_loss_that_is_no_number_in_one_process_ends_all(tmp_path):
    machine = ManyDevices("cpu", devices=2, strategy="ddp_fork")
    machine.fabric.launch(lambda _: _diverge(tmp_path, machine))
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert said[0] == said[1] and "not a number after epoch 0, step 3: lower the learning rate" in said[0]
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def _meet_a_bad_label(root: Path, machine: OneDevice) -> None:
    """Prepare studies of which the second process has one with a bad label; write what each says of it."""
    torch.set_num_threads(1)
    cases = make_cases(STROKE, 4, root / f"cases-{machine.rank}")
    cases[1].label.write_bytes(b"no label")
    recipe = STROKE.recipe.model_copy(update=TINY)
    with pytest.raises(BrainMVPError) as told:
        finetune(STROKE, cases[:2], cases[2:], None, recipe, root / "run", machine=machine)
    (root / f"{machine.rank}.txt").write_text(str(told.value))


def test_a_bad_label_in_one_process_ends_all(tmp_path):
    machine = ManyDevices("cpu", devices=2, strategy="ddp_fork")
    machine.fabric.launch(lambda _: _meet_a_bad_label(tmp_path, machine))
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert said[0] == said[1] and "cases-1/stroke-1/stroke-1_seg.nii.gz cannot be read" in said[0]


def test_processes_that_wait_for_one_that_fails_end_with_it_and_this_one_tells_why():
    from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    launched = [child]
    observer = _ChildProcessObserver(os.getpid(), launched)  # of Lightning
    observer._terminate_all = lambda: pytest.fail("the main process is killed")
    fabric = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=launched)))
    with ending_together(fabric):
        assert child.poll() is None
    with pytest.raises(KeyError), ending_together(fabric):
        raise KeyError
    assert child.wait(60) == -signal.SIGKILL
    assert observer._run()


def test_two_processes_take_the_step_of_one_with_the_double_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "Run", KeptRun)
    monkeypatch.setattr(KeptRun, "made", [])
    monkeypatch.setattr(SegmentationProblem, "loss", _error)
    machine = ManyDevices("cpu", devices=2, strategy="ddp_fork")
    machine.fabric.launch(lambda _: _learn(tmp_path, "two", 1, machine))
    _learn(tmp_path, "one", 2, OneDevice("cpu"))
    first, second, one = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("two-0", "two-1", "one-0")
    )
    assert (first["world"], second["world"], one["world"]) == (2, 2, 1)
    assert first["record"]["scores"] == second["record"]["scores"]
    assert first["record"]["loss"] != second["record"]["loss"]  # each took another study
    for kind in ("weights", "gradients"):
        assert all(torch.equal(second[kind][name], value) for name, value in first[kind].items())
    assert one["gradients"].keys() == first["gradients"].keys()
    largest = max(float(value.abs().max()) for value in one["gradients"].values())
    for name, value in one["gradients"].items():
        torch.testing.assert_close(
            first["gradients"][name],
            value,
            rtol=1e-3,
            atol=1e-5 * largest,
            msg=lambda text, n=name: f"{n}: {text}",
        )
