"""Soft Dice and cross-entropy over the regions that a sample can show."""

import torch
from torch import Tensor
from torch.nn import functional

# From the probe on synthetic brains: a smoothing of ten voxels keeps tiny lesions from dominating, and
# cross-entropy, which is small because lesions are, gets four times the weight.
_SMOOTH = 10.0
_CROSS_ENTROPY = 4.0


def region_loss(logits: Tensor, regions: Tensor, brain: Tensor, offered: Tensor) -> Tensor:
    """Return the mean loss (scalar) of a batch.

    logits: (B, R, X, Y, Z); regions: (B, R, X, Y, Z) 0 or 1; brain: (B, X, Y, Z) bool, outside of which nothing
    counts; offered: (B, R) bool, regions that count.
    """
    logits, target, inside = logits.float(), regions.float(), brain[:, None].float()
    probability = logits.sigmoid() * inside
    axes = (2, 3, 4)
    overlap = (probability * target).sum(axes)
    total = probability.sum(axes) + (target * inside).sum(axes)
    dice = 1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * inside
    entropy = entropy.sum(axes) / inside.sum(axes).clamp_min(1)
    counts = offered.float()
    return ((dice + _CROSS_ENTROPY * entropy) * counts).sum() / counts.sum().clamp_min(1)


def dice_scores(logits: Tensor, regions: Tensor, brain: Tensor) -> Tensor:
    """Return the Dice of logits above 0, (B, R); NaN where the region is empty and stays empty."""
    marked = (logits > 0) & brain[:, None]
    truth = regions.bool() & brain[:, None]
    axes = (2, 3, 4)
    return 2 * (marked & truth).sum(axes) / (marked.sum(axes) + truth.sum(axes)).float()


def false_positive_voxels(logits: Tensor, brain: Tensor) -> Tensor:
    """Return how many voxels of each region are marked, (B, R)."""
    return ((logits > 0) & brain[:, None]).sum((2, 3, 4)).to(torch.int64)
