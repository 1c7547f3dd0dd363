"""The published residual UNet (after Myronenko, 2018) and the segmentation network made from it.

The official code releases the pretraining network only (`models/unet3d.py`): an encoder and a decoder without
skips. Its downstream segmentation network was never released, so `UNet` here is our reading: the same encoder and
decoder, with the encoder's features added on the way up (as Myronenko does) and one output channel per region.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.networks.norms import GroupNorm


class ResidualBlock(nn.Module):
    """Pre-activation block: (GroupNorm, ReLU, 3x3x3 convolution) twice, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gn1 = GroupNorm(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.gn2 = GroupNorm(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        inner = self.conv1(functional.relu(self.gn1(image)))
        return image + self.conv2(functional.relu(self.gn2(inner)))


class UNetEncoder(nn.Module):
    """(B, in_channels, X, Y, Z) to one feature per level, on 1, 1/2, 1/4, ... of the grid."""

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], depths: tuple[int, ...], patches: bool
    ) -> None:
        """patches: start from patches of 2x2x2 voxels, so that the finest level lies on half the grid."""
        super().__init__()
        stem = (
            nn.Conv3d(in_channels, widths[0], 2, 2)
            if patches
            else nn.Conv3d(in_channels, widths[0], 3, padding=1)
        )
        self.downs = nn.ModuleList(
            [stem, *(nn.Conv3d(*pair, 3, stride=2, padding=1) for pair in pairwise(widths))]
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
            for width, depth in zip(widths, depths, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features, fine to coarse: (B, widths[i], X / 2^i, ...)."""
        features = []
        for down, stage in zip(self.downs, self.stages, strict=True):
            # One channel has no memory layout, so the first convolution may give a contiguous volume.
            image = stage(down(image).contiguous(memory_format=torch.channels_last_3d))
            features.append(image)
        return features


class UpStep(nn.Module):
    """Halve the channels by a 1x1x1 convolution, double the grid, add the skip if there is one, one block."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(in_channels, out_channels, 1)
        self.block = ResidualBlock(out_channels)

    def forward(self, feature: Tensor, skip: Tensor | None = None) -> Tensor:
        raised = functional.interpolate(self.reduce(feature), scale_factor=2.0, mode="nearest")
        return self.block(raised if skip is None else raised + skip)


class UNetDecoder(nn.Module):
    """From the coarsest feature back to the full grid, (B, out_channels, X, Y, Z); skips are optional."""

    def __init__(self, out_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        coarse_to_fine = widths[::-1]
        self.ups = nn.ModuleList(UpStep(*pair) for pair in pairwise(coarse_to_fine))
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def forward(self, feature: Tensor, skips: list[Tensor] | None = None) -> Tensor:
        """Decode `feature`; `skips` are the encoder's other features, fine to coarse."""
        for level, up in enumerate(self.ups):
            feature = up(feature, skips[-1 - level] if skips else None)
        return self.head(feature)


class FineStep(nn.Module):
    """From half the grid to the full one: a few channels that see the feature and the image itself."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.detail = nn.Conv3d(in_channels, channels, 3, padding=1)
        self.head = nn.Conv3d(channels, out_channels, 3, padding=1)

    def forward(self, feature: Tensor, image: Tensor) -> Tensor:
        """feature: (B, channels, X/2, Y/2, Z/2); image: (B, in_channels, X, Y, Z)."""
        raised = functional.interpolate(feature, scale_factor=2.0, mode="trilinear")
        return self.head(functional.relu(raised + self.detail(image)))


class UNet(nn.Module):
    """Segment (B, in_channels, X, Y, Z) into logits (B, out_channels, X, Y, Z)."""

    def __init__(self, encoder: UNetEncoder, decoder: UNetDecoder, fine: FineStep | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.fine = fine

    @property
    def head(self) -> nn.Conv3d:
        """The last convolution, one output channel per region."""
        return self.decoder.head if self.fine is None else self.fine.head

    def forward(self, image: Tensor) -> Tensor:
        *skips, deepest = self.encoder(image)
        feature = self.decoder(deepest, skips)
        return feature if self.fine is None else self.fine(feature, image)
