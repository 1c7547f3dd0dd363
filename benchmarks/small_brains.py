"""Whole brains at 6 mm and a narrow network: small enough that one core learns them in ten seconds."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from brainmvp.files import write_text
from brainmvp.finetune.start import begin
from brainmvp.modelstore import Model
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.phantom.generator import Phantom, make_phantom
from brainmvp.tasks import get_task
from brainmvp.training.short import Brain, brain_of, learn_shortly

TASK = get_task("tumour")
SPACING = 6.0
PATCH = (24, 32, 24)
# `unet-light` with fewer and narrower levels: 0.4 million parameters.
NETWORK = NetworkConfig(
    backbone="unet", in_channels=len(TASK.sequences), out_channels=len(TASK.regions),
    widths=(16, 32, 64), depths=(1, 1, 1), patches=True, fine_width=8,
)  # fmt: skip
# Seeds that no built-in model saw.
_FIRST_SEED = 900_000_000


def phantom(number: int) -> Phantom:
    """Return a made-up patient with a tumour."""
    return make_phantom(
        _FIRST_SEED + number, TASK.name, spacing=SPACING, difficulty=0.3, sequences=TASK.sequences,
        disease="tumour",
    )  # fmt: skip


def brains(numbers: range) -> list[Brain]:
    """Return made-up patients with their labels."""
    return [brain_of(phantom(number), TASK) for number in numbers]


def beginning(start: Model | None, seed: int, config: NetworkConfig = NETWORK) -> nn.Module:
    """Return the network of a seed: new, or with what `brainmvp finetune` takes over from a start."""
    if start is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(config)
    else:
        begun = begin(TASK, start, TASK.recipe.model_copy(update={"seed": seed})).network.state_dict()
        network = build_network(config)  # without the deep supervision that a UniFormer's recipe adds
        network.load_state_dict({name: begun[name] for name in network.state_dict()})
    return network


def window_of(config: NetworkConfig) -> tuple[int, int, int]:
    """Return the window that holds a brain and that the network can take, voxels."""
    x, y, z = (-(-edge // config.stride) * config.stride for edge in PATCH)
    return x, y, z


def learn(
    network: nn.Module,
    train: list[Brain],
    *,
    lr: float,
    steps: int,
    seed: int,
    config: NetworkConfig = NETWORK,
) -> nn.Module:
    """Train all weights for a fixed number of steps; a seed sees the same brains in the same order."""
    return learn_shortly(network, TASK, train, window=window_of(config), steps=steps, lr=lr, seed=seed)


def best_rate(results: Results, name: str, rates: list[float], score: Callable[[float], float]) -> float:
    """Return the learning rate with the best validation score, measured once each."""
    for lr in rates:
        if not results.find(kind="choice", row=name, lr=lr):
            results.add(kind="choice", row=name, lr=lr, validation=score(lr))
    return max(results.all(kind="choice", row=name), key=lambda row: row["validation"])["lr"]


def keep_options(chosen: Namespace) -> None:
    """Write the options of a benchmark into its `--out`; end where that holds what was measured with others."""
    path = chosen.out / "options.json"
    now = json.dumps({name: value for name, value in vars(chosen).items() if name != "out"}, default=str)
    if path.is_file() and path.read_text("utf-8") != now:
        sys.exit(f"{chosen.out} holds what was measured with other options; choose another --out.")
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_text(path, now)


class Results:
    """What was measured with the same options, kept in a file; nothing is measured twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict] = json.loads(path.read_text("utf-8")) if path.is_file() else []

    def find(self, **key: object) -> dict | None:
        """Return the row with these entries, if it is there."""
        return next((row for row in self.rows if all(row.get(k) == v for k, v in key.items())), None)

    def all(self, **key: object) -> list[dict]:
        """Return the rows with these entries."""
        return [row for row in self.rows if all(row.get(k) == v for k, v in key.items())]

    def add(self, **row: object) -> None:
        """Keep a row, and show it without what is long."""
        self.rows.append(row)
        write_text(self.path, json.dumps(self.rows))
        print(json.dumps({key: value for key, value in row.items() if key != "dice"}), flush=True)
