"""Make the built-in weights of brain extraction again: `python -m brainmvp.brain.train --out FILE`."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from brainmvp.brain.network import new_network
from brainmvp.brain.synthesis import Head, make_head, make_sample
from brainmvp.files import atomically
from brainmvp.phantom.anatomy import load_anatomies
from brainmvp.steps import rate
from brainmvp.training.optim import make_optimisers

_BATCH = 2
_RATE = 2e-3
# Training begins with so many heads, and one more is made every so many steps.
_FIRST_HEADS, _STEPS_A_HEAD = 16, 8


def train(out: Path, patients: Path | None, heads: int, minutes: float, start: Path | None) -> None:
    """Train for so many minutes on so many heads, and write the averaged weights in half precision.

    start: weights to go on from, in place of random ones (None).
    """
    anatomies = load_anatomies(2.0, patients)
    pool: list[Head] = []
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = new_network()
    if start is not None:
        network.load_state_dict({name: value.float() for name, value in load_file(start).items()})
    network.to(memory_format=torch.channels_last_3d)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimisers = make_optimisers(network, _RATE)
    began, step, smooth = time.monotonic(), 0, 1.0
    while (done := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in (group for optimiser in optimisers for group in optimiser.param_groups):
            group["lr"] = _RATE * rate(done, step)
        while len(pool) < min(heads, _FIRST_HEADS + step // _STEPS_A_HEAD):
            pool.append(make_head(len(pool), anatomies))
        samples = [make_sample(pool[int(rng.integers(len(pool)))], rng) for _ in range(_BATCH)]
        image, brain, seen = (torch.stack(part)[:, None] for part in zip(*samples, strict=True))
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image)
        logits = logits.float()
        inside = logits.sigmoid() * seen
        dice = 1 - 2 * (inside * brain).sum() / ((inside + brain * seen).sum() + 1)
        entropy = functional.binary_cross_entropy_with_logits(logits, brain, weight=seen.float())
        loss = dice + entropy
        network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        average.update_parameters(network)
        step += 1
        smooth += 0.02 * (dice.item() - smooth)
        if step % 50 == 0:
            print(
                f"{step} steps, {len(pool)} heads, {time.monotonic() - began:.0f} s, Dice loss {smooth:.4f}",
                flush=True,
            )
            _write(average.module, out)
    _write(average.module, out)


def _write(network: torch.nn.Module, out: Path) -> None:
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    atomically(out, lambda temporary: save_file(weights, temporary))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--patients", type=Path, help="open patients to learn from, as `load_anatomies` reads them"
    )
    parser.add_argument("--heads", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=35.0)
    parser.add_argument("--start", type=Path, help="weights to go on from, such as the built-in ones")
    options = parser.parse_args()
    train(options.out, options.patients, options.heads, options.minutes, options.start)


if __name__ == "__main__":
    main()
