"""The published downstream loss of segmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_dice_loss(logits: Tensor, target: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return 1 - soft Dice, the mean over the regions that a sample of the batch can show.

    Official code, `losses`: Dice over the whole batch at once, squared terms in the denominator, smoothing by one
    voxel in numerator and denominator.

    Args:
        logits: (B, R, X, Y, Z) float.
        target: (B, R, X, Y, Z), 0 or 1; regions may overlap.
        seen: (B, R) bool, which regions a sample's sequences can show; the others do not count. None: all.

    """
    probability, target = logits.float().sigmoid(), target.float()
    if seen is not None:
        mask = seen[:, :, None, None, None]
        probability, target = probability * mask, target * mask
    axes = (0, 2, 3, 4)
    overlap = (probability * target).sum(axes)
    total = probability.square().sum(axes) + target.square().sum(axes)
    loss = 1 - (2 * overlap + 1) / (total + 1)
    return loss.mean() if seen is None else loss.sum() / seen.any(0).sum().clamp_min(1)


def dice_cross_entropy(logits: Tensor, target: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return 0.7 soft Dice loss + 0.3 binary cross-entropy (official code); arguments as for `soft_dice_loss`."""
    weight = None if seen is None else seen[:, :, None, None, None] * (seen.numel() / seen.sum().clamp_min(1))
    entropy = functional.binary_cross_entropy_with_logits(logits.float(), target.float(), weight)
    return 0.7 * soft_dice_loss(logits, target, seen) + 0.3 * entropy


def supervised_loss(logits: Tensor | list[Tensor], target: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return `dice_cross_entropy` of each output of a network with deep supervision, summed (official code)."""
    outputs = logits if isinstance(logits, list) else [logits]
    return torch.stack([dice_cross_entropy(output, target, seen) for output in outputs]).sum()
