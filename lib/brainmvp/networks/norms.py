"""Normalisations that keep channels-last volumes channels-last on a CPU, and are exact there.

On a CPU, torch's group norm of channels-last volumes sums squares in one pass. With the published networks' features
that is 40 times less exact in single precision than two passes, and shifts their losses by 6e-5; so single precision
on a CPU takes two passes here. Lower precisions and GPUs take torch's own, whose sums are good.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_GROUPS = 8


def channel_norm(kind: str, channels: int) -> nn.Module:
    """Return the normalisation of a convolution block: `batch` (published) or `group`."""
    return nn.BatchNorm3d(channels) if kind == "batch" else GroupNorm(channels)


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, X, Y, Z); only views when the input is channels-last."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class InstanceNorm(nn.Module):
    """Zero mean and unit variance of each channel of each volume, without parameters.

    torch's own makes a contiguous copy of a channels-last volume and hands that on.
    """

    eps = 1e-5

    def forward(self, image: Tensor) -> Tensor:
        if _needs_two_passes(image):
            shift, scale = _standardisation(image, image.shape[1], self.eps)
            return torch.addcmul(shift, image, scale)
        return functional.group_norm(image, image.shape[1], eps=self.eps)


class GroupNorm(nn.GroupNorm):
    """Group norm with 8 groups of channels (the official UNet's number)."""

    def __init__(self, channels: int) -> None:
        super().__init__(NORM_GROUPS, channels)

    def forward(self, image: Tensor) -> Tensor:
        if not _needs_two_passes(image):
            return super().forward(image)
        shift, scale = _standardisation(image, self.num_groups, self.eps)
        weight, bias = (entry[:, None, None, None] for entry in (self.weight, self.bias))
        return torch.addcmul(shift * weight + bias, image, scale * weight)


def _needs_two_passes(image: Tensor) -> bool:
    return image.dtype == torch.float32 and image.device.type == "cpu"


def _standardisation(image: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return what standardises `image`, as (shift, scale) of shape (B, C, 1, 1, 1)."""
    grouped = image.unflatten(1, (groups, -1))
    variance, mean = torch.var_mean(grouped, dim=(2, 3, 4, 5), correction=0)
    scale = torch.rsqrt(variance + eps)
    both = torch.stack([-mean * scale, scale]).repeat_interleave(image.shape[1] // groups, dim=2)
    shift, scale = both[..., None, None, None]
    return shift, scale
