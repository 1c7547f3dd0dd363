"""The published segmentation network ("UniUnet"): UniFormer encoder, U-shaped decoder, deep supervision."""

from __future__ import annotations

from itertools import pairwise

from monai.networks.blocks import UnetrUpBlock
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.networks.norms import ChannelLayerNorm, InstanceNorm
from brainmvp.networks.uniformer import UniFormer


class Projection(nn.Module):
    """The skip on the full grid: a 3x3x3 convolution of the input image, then LayerNorm over the channels."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, channels, 3, padding=1)
        self.norm = ChannelLayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.proj(image))


def up_block(in_channels: int, out_channels: int) -> UnetrUpBlock:
    """Double the grid by a transposed convolution, join the skip, then a residual block (UNETR, 2022)."""
    block = UnetrUpBlock(3, in_channels, out_channels, 3, 2, "instance", res_block=True)
    for name in ("norm1", "norm2", "norm3"):
        setattr(block.conv_block, name, InstanceNorm())
    return block


class UniUNet(nn.Module):
    """Segment (B, in_channels, X, Y, Z) into logits (B, out_channels, X, Y, Z); edges are multiples of 16.

    In training with `deep_supervision`, return three logits on the full grid, coarse to fine: [from the 1/4 grid,
    from the 1/2 grid, the result].
    """

    def __init__(
        self, encoder: UniFormer, in_channels: int, out_channels: int, widths: tuple[int, ...],
        fine_width: int, deep_supervision: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder = encoder
        self.projection = Projection(in_channels, fine_width)
        coarse_to_fine = (*widths[::-1], fine_width)
        self.ups = nn.ModuleList(up_block(*pair) for pair in pairwise(coarse_to_fine))
        self.head = nn.Conv3d(fine_width, out_channels, 1)
        supervised = (widths[1], widths[0]) if deep_supervision else ()
        self.coarse_heads = nn.ModuleList(nn.Conv3d(width, out_channels, 1) for width in supervised)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        *skips, feature = self.encoder(image)
        skips.insert(0, self.projection(image))
        decoded = []
        for up in self.ups:
            feature = up(feature, skips.pop())
            decoded.append(feature)
        logits = self.head(feature)
        if not (self.training and self.coarse_heads):
            return logits
        coarse = [head(part) for head, part in zip(self.coarse_heads, decoded[1:3], strict=True)]
        # align_corners as in the official code; it differs from the usual choice at the border only.
        enlarged = [
            functional.interpolate(part, image.shape[2:], mode="trilinear", align_corners=True)
            for part in coarse
        ]
        return [*enlarged, logits]
