"""The losses of the proxy tasks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE of two views' features, (N, ...) each; the others of the batch are negatives.

    No projection head and no stop-gradient (official code). With one item there is nothing to tell apart: 0.
    """
    left = functional.normalize(first.flatten(1).float(), dim=1)
    right = functional.normalize(second.flatten(1).float(), dim=1)
    similarity = left @ right.T / temperature
    same = torch.arange(len(similarity), device=similarity.device)
    return (functional.cross_entropy(similarity, same) + functional.cross_entropy(similarity.T, same)) / 2
