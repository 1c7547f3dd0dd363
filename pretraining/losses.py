"""The losses of the proxy tasks."""

from __future__ import annotations

from collections.abc import Sequence as Items

import torch
from torch import LongTensor, Tensor, distributed
from torch.nn import functional


def contrastive_loss(
    first: Tensor, second: Tensor, temperature: float, studies: LongTensor | None = None
) -> Tensor:
    """Return the symmetric InfoNCE of two views' features, (N, ...) each; the others of the batch are negatives.

    No projection head and no stop-gradient (official code). With one item there is nothing to tell apart: 0.

    studies: (N,) the study of each item, on the device. Items of one study are no negatives of each other: the task is
    to tell patients apart, not their sequences. None: each is of another study.
    """
    left = functional.normalize(first.flatten(1).float(), dim=1)
    right = functional.normalize(second.flatten(1).float(), dim=1)
    # In bf16, which autocast would take, similarities have two digits.
    with torch.autocast(left.device.type, enabled=False):
        similarity = left @ right.T / temperature
    same = torch.arange(len(similarity), device=similarity.device)
    if studies is not None:
        alike = (studies[:, None] == studies) & (same[:, None] != same)
        similarity = similarity.masked_fill(alike, -torch.inf)
    return (functional.cross_entropy(similarity, same) + functional.cross_entropy(similarity.T, same)) / 2


def gather(features: Tensor, counts: Items[int]) -> Tensor:
    """Return the features (N, ...) of all processes, (sum(counts), ...), through which gradients flow back.

    The official code takes negatives from its own three volumes only. counts: how many each process has; known to
    all beforehand, so that nothing waits for the sizes.
    """
    from torch.distributed.nn.functional import all_gather

    padded = features.flatten(1).float()
    padded = functional.pad(padded, (0, 0, 0, max(counts) - len(padded)))
    parts = all_gather(padded.contiguous())
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def share(counts: Items[int]) -> float:
    """Return what this process's mean counts for, so that the mean over the processes is that of all items."""
    return counts[distributed.get_rank()] * len(counts) / sum(counts)
