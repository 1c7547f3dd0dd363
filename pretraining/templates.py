"""The learnable templates, one volume per sequence, distilled while the network reconstructs."""

from __future__ import annotations

import torch
from torch import LongTensor, Tensor
from torch.nn import functional

# The SRI24 grid of BraTS at 1 mm, in which the published templates live (official code: dst_h, dst_w, dst_d).
SRI24_SHAPE = (240, 240, 155)


def template_patches(
    templates: Tensor, sequence: LongTensor, start: LongTensor, size: tuple[int, int, int], epsilon: float
) -> Tensor:
    """Cut each item's template at its place, scaled to [0, 1] by the range of its whole volume.

    The range is differentiable, as in the official code, but is taken once per sequence and applied to the patch
    only. What lies outside the grid is zero: a volume larger than the templates is no error.

    Args:
        templates: (8, X, Y, Z).
        sequence: (N,) on the CPU.
        start: (N, 3) voxel of the templates at the patch's first voxel, on the CPU; may be negative.
        size: edges of the patch.
        epsilon: added to the range.

    Returns:
        (N, *size).

    """
    # Unbound once: the gradient of each indexing of its own would be a tensor as large as all templates.
    volumes = templates.unbind(0)
    lows = {index: volumes[index].min() for index in set(sequence.tolist())}
    spans = {index: volumes[index].max() - low + epsilon for index, low in lows.items()}
    return torch.stack(
        [
            _cut(volumes[index], lows[index], spans[index], corner, size)
            for index, corner in zip(sequence.tolist(), start.tolist(), strict=True)
        ]
    )


def _cut(template: Tensor, low: Tensor, span: Tensor, corner: list[int], size: tuple[int, ...]) -> Tensor:
    box, padding = [], []
    for edge, first, length in zip(template.shape, corner, size, strict=True):
        begin, end = min(max(first, 0), edge), min(max(first + length, 0), edge)
        before = min(max(-first, 0), length)
        box.append(slice(begin, end))
        padding.insert(0, (before, length - before - (end - begin)))
    patch = (template[tuple(box)] - low) / span
    return functional.pad(patch, [side for pair in padding for side in pair])
