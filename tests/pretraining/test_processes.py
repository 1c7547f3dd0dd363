"""Several processes are one: the same studies, negatives and gradients."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from two_processes import gradients

from brainmvp.errors import BrainMVPError
from pretraining.run.devices import make_fabric

HERE = Path(__file__).parent


def test_two_processes_give_the_gradients_of_one_with_the_double_batch(tiny_index, tmp_path) -> None:
    """The studies of a batch have 3, 1, 2 and 1 sequences, so that the processes have unequal numbers of items."""
    paths = [HERE, HERE.parent, HERE.parents[1], HERE.parents[1] / "lib"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", "--master-port=0",
                "--rdzv-backend=c10d"]  # fmt: skip
    line = [sys.executable, *torchrun, HERE / "two_processes.py", tiny_index, tmp_path / "two.pt", "2"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, two = gradients(tiny_index, 4), torch.load(tmp_path / "two.pt", weights_only=True)
    assert one["losses"][3] > 0.5  # the contrast counts
    assert one.keys() == two.keys()
    largest = max(float(value.abs().max()) for value in one.values())
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=1e-4, atol=1e-6 * largest, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize(("devices", "nodes"), [(4, 1), (2, 2)])
def test_other_devices_than_srun_has_started_are_refused(monkeypatch, devices: int, nodes: int) -> None:
    for name, value in {
        "TORCHELASTIC_RUN_ID": "a",
        "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2,
        "RANK": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert make_fabric("cpu").world_size == make_fabric("cpu", 2).world_size == 2
    with pytest.raises(BrainMVPError, match=r"started 2 x 1 processes"):
        make_fabric("cpu", devices, nodes)
