"""How wrong a prediction is: overlap by region and cross-entropy, where the region can be seen at all."""

import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.tasks import Task

# Voxels; keeps the Dice of small and absent regions from jumping.
_SMOOTH = 5.0
_CROSS_ENTROPY_WEIGHT = 4.0


def region_targets(labels: Tensor, task: Task) -> Tensor:
    """Return the masks of the regions (B, R, X, Y, Z) bool of labels (B, X, Y, Z)."""
    return torch.stack(
        [torch.isin(labels, torch.tensor(region.labels, device=labels.device)) for region in task.regions], 1
    )


def segmentation_loss(
    logits: Tensor, targets: Tensor, seen: Tensor, brain: Tensor, absent: float = _SMOOTH
) -> Tensor:
    """Return soft Dice loss plus cross-entropy inside the brain, the mean over samples and visible regions.

    logits, targets: (B, R, X, Y, Z); seen: (B, R) bool, which regions the sample's sequences can show; brain:
    (B, 1, X, Y, Z) bool; absent: voxels over which the overlap is smoothed where a region is absent: so many that are
    marked there cost half of what a whole false lesion does.
    """
    logits, targets, inside = logits.float(), targets.float(), brain.float()
    probabilities = logits.sigmoid() * inside
    axes = (2, 3, 4)
    overlap = (probabilities * targets).sum(axes)
    size = targets.sum(axes)
    total = (probabilities * probabilities).sum(axes) + size
    smooth = torch.where(size > 0, _SMOOTH, absent)
    dice = 1 - (2 * overlap + smooth) / (total + smooth)
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * inside
    entropy = entropy.sum(axes) / inside.sum(axes).clamp_min(1)
    each = dice + _CROSS_ENTROPY_WEIGHT * entropy
    return (each * seen).sum() / seen.sum().clamp_min(1)


def dice(probabilities: Tensor, targets: Tensor, threshold: float = 0.5) -> Tensor:
    """Return the Dice (B, R) of thresholded probabilities; one where both are empty."""
    found = (probabilities > threshold).float()
    axes = (2, 3, 4)
    overlap, total = (found * targets).sum(axes), found.sum(axes) + targets.float().sum(axes)
    return torch.where(total > 0, 2 * overlap / total.clamp_min(1), torch.ones_like(total))
