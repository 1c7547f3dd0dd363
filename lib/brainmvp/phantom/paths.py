"""How far it is from one place in the brain to another, on the way that costs least."""

import torch
from torch import Tensor

# Rounds of sweeps along every axis, to and fro; a way around more corners than this comes out too long.
_ROUNDS = 2
_FAR = 1e4


def detour(start: Tensor, cost: Tensor, spacing: float) -> Tensor:
    """Return by how much the cheapest way from `start` is longer than if all cost were 1, mm (X, Y, Z).

    start: (X, Y, Z) bool; cost: (X, Y, Z), per mm, above 0. The difference of two distances along the axes (fast
    sweeping: Zhao, Math Comput 2005, for city blocks), so that where all cost is 1 it is zero. Added to a straight
    distance it bends it around barriers; where cost is below 1 it is negative.
    """
    steps = spacing * torch.stack([cost, torch.ones_like(cost)])
    distance = torch.where(start, 0.0, _FAR).expand_as(steps).clone()
    for _ in range(_ROUNDS):
        for axis in (1, 2, 3):
            ways, prices = distance.movedim(axis, 0), steps.movedim(axis, 0)
            forth = range(1, len(ways))
            for here in forth:
                torch.minimum(ways[here], ways[here - 1] + prices[here], out=ways[here])
            for here in reversed(forth):
                torch.minimum(ways[here - 1], ways[here] + prices[here - 1], out=ways[here - 1])
    return distance[0] - distance[1]
