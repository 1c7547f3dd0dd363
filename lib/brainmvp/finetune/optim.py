"""The optimiser and how its learning rate falls: over the run, and with depth."""

import math
import re

import torch
from torch import nn

from brainmvp.steps import rate
from brainmvp.tasks import Recipe

# Steps, and the most that a short run spends of its own.
_WARM_UP = 60
_MOST_WARM_UP = 0.1
_LEVEL = re.compile(r"encoder\.(?:stages|downs)\.(\d+)\.")


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return Adam (official code) with one group per level; each remembers its own learning rate as `full_lr`.

    With `layer_decay` below 1 a level of the encoder learns that much slower than the one above it; head and decoder
    learn at the full rate (layer-wise decay after Clark et al., ELECTRA, 2020). A frozen encoder is in no group.
    """
    levels: dict[int, list[nn.Parameter]] = {}
    deepest = max(
        (level for name, _ in network.named_parameters() if (level := _level(name)) is not None), default=0
    )
    for name, parameter in network.named_parameters():
        level = _level(name)
        if level is not None and recipe.frozen_encoder:
            parameter.requires_grad_(False)
            continue
        levels.setdefault(0 if level is None else deepest + 1 - level, []).append(parameter)
    groups = []
    for below, parameters in sorted(levels.items()):
        lr = recipe.lr * recipe.layer_decay**below
        groups.append({"params": parameters, "lr": lr, "full_lr": lr})
    return torch.optim.Adam(groups, weight_decay=recipe.weight_decay)


def set_rate(optimiser: torch.optim.Optimizer, done: int, total: int, warm_up: bool = True) -> float:
    """Set every group to its share of a cosine from full to zero over `total` steps (official code); return the first.

    With `warm_up` the first steps rise to it: from scratch and at the full rate, Adam's first steps can make a network
    silent for good. done: steps before this one.
    """
    rising = min(_WARM_UP, math.ceil(total * _MOST_WARM_UP)) if warm_up else 1
    share = rate(done / total, done, rising)
    for group in optimiser.param_groups:
        group["lr"] = group["full_lr"] * share
    return optimiser.param_groups[0]["lr"]


def _level(name: str) -> int | None:
    """Return the encoder level of a parameter, fine to coarse, or None for one of the decoder or head."""
    if not name.startswith("encoder."):
        return None
    match = _LEVEL.match(name)
    return int(match[1]) if match else 3
