"""The optimiser: Muon for matrices and convolution kernels, AdamW for the rest."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# A quintic whose fixed points are near one for all singular values (Jordan et al., Muon, 2024).
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 4
# Makes an update as large as AdamW's (Liu et al., Muon is scalable for LLM training, 2025).
_UPDATE_SCALE = 0.2
# Kernels with fewer rows or columns are no matrices to speak of (depth-wise convolutions, heads).
_SMALLEST_SIDE = 8


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal: each kernel, as (out, in x positions), moves by a matrix of equal singular values."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                velocity = state.setdefault("velocity", torch.zeros_like(parameter))
                velocity.mul_(group["momentum"]).add_(parameter.grad)
                update = parameter.grad.add(velocity, alpha=group["momentum"]).flatten(1)
                by_shape.setdefault(tuple(update.shape), []).append((parameter, update))
            for shape, pairs in by_shape.items():
                moves = orthogonal(torch.stack([update for _, update in pairs]))
                size = group["lr"] * _UPDATE_SCALE * math.sqrt(max(shape))
                for (parameter, _), move in zip(pairs, moves, strict=True):
                    parameter.add_(move.reshape(parameter.shape).to(parameter.dtype), alpha=-size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest orthogonal matrices (N, rows, columns), by Newton-Schulz iterations in bfloat16."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def make_optimisers(network: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Return the two optimisers of a network."""
    matrices, rest = [], []
    for parameter in network.parameters():
        flat = parameter.flatten(1) if parameter.ndim > 1 else parameter[None]
        (matrices if min(flat.shape) >= _SMALLEST_SIDE else rest).append(parameter)
    return [Muon(matrices, lr), torch.optim.AdamW(rest, lr, betas=(0.9, 0.98), weight_decay=0.01)]
