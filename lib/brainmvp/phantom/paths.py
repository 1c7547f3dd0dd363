"""How much longer the way from one place in the brain to another is than it looks, where it costs least."""

import torch
from torch import Tensor

# Rounds of sweeps along every axis, to and fro; a way around more corners than this comes out too long.
_ROUNDS = 2
_FAR = 1e4


def detour(start: Tensor, cost: Tensor) -> Tensor:
    """Return how many times as long the cheapest way from `start` is as if all cost were 1, (X, Y, Z).

    start: (X, Y, Z) bool; cost: (X, Y, Z), per step, above 0. The ratio of two distances along the axes (fast
    sweeping: Zhao, Math Comput 2005, for city blocks), so that where all cost is 1 it is 1, and never below the least
    cost. Times a straight distance it bends it around barriers and along what is cheap.
    """
    steps = torch.stack([cost, torch.ones_like(cost)])
    distance = torch.where(start, 0.0, _FAR).expand_as(steps).clone()
    for _ in range(_ROUNDS):
        for axis in (1, 2, 3):
            ways, prices = distance.movedim(axis, 0), steps.movedim(axis, 0)
            forth = range(1, len(ways))
            for here in forth:
                torch.minimum(ways[here], ways[here - 1] + prices[here], out=ways[here])
            for here in reversed(forth):
                torch.minimum(ways[here - 1], ways[here] + prices[here - 1], out=ways[here - 1])
    return torch.where(start, 1.0, distance[0] / distance[1].clamp_min(1))
