"""The 3-D UniFormer encoder: convolution blocks on fine grids, global attention on coarse ones.

Li et al., UniFormer (ICLR 2022); BrainMVP uses its "S" size (CVPR 2025; official code, `models/uniformer.py`).
The official encoder turns its input from (X, Y, Z) to (Z, X, Y) and the decoder turns every feature back. Here
nothing is turned: `checkpoint.py` turns the published kernels once, when they are imported, which is the same map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.networks.norms import ChannelLayerNorm, channel_norm


class PatchEmbed(nn.Module):
    """Halve the grid: convolution of kernel and stride 2, then LayerNorm over the channels."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, channels, kernel_size=2, stride=2)
        self.norm = ChannelLayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.proj(image))


class ConvMlp(nn.Module):
    """Two 1x1x1 convolutions with a GELU between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(channels, hidden, 1)
        self.fc2 = nn.Conv3d(hidden, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(image)))


class ConvBlock(nn.Module):
    """UniFormer block with local relations: a 5x5x5 depth-wise convolution in the place of attention."""

    def __init__(self, channels: int, mlp_ratio: int, norm: str) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = channel_norm(norm, channels)
        self.conv1 = nn.Conv3d(channels, channels, 1)
        self.attn = nn.Conv3d(channels, channels, 5, padding=2, groups=channels)
        self.conv2 = nn.Conv3d(channels, channels, 1)
        self.norm2 = channel_norm(norm, channels)
        self.mlp = ConvMlp(channels, mlp_ratio * channels)

    def forward(self, image: Tensor) -> Tensor:
        image = image + self.pos_embed(image)
        image = image + self.conv2(self.attn(self.conv1(self.norm1(image))))
        return image + self.mlp(self.norm2(image))


class Attention(nn.Module):
    """Multi-head self-attention over all voxels, (B, N, C) to (B, N, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class LinearMlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(tokens)))


class AttentionBlock(nn.Module):
    """UniFormer block with global relations."""

    def __init__(self, channels: int, head_dim: int, mlp_ratio: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        # 1e-6 in the blocks, 1e-5 in the patch embeddings: so does the official code.
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels, channels // head_dim)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = LinearMlp(channels, mlp_ratio * channels)

    def forward(self, image: Tensor) -> Tensor:
        image = image + self.pos_embed(image)
        tokens = image.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        # Not `transpose` before `unflatten`: with one volume that leaves a batch stride for which torch's batch norm
        # on the CPU (2.13) gives wrong gradients.
        return tokens.unflatten(1, image.shape[2:]).permute(0, 4, 1, 2, 3)


class Stage(nn.Module):
    """One level of the encoder: halve the grid, then the residual blocks."""

    def __init__(self, embed: PatchEmbed, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        return self.blocks(self.embed(image))


class UniFormer(nn.Module):
    """The encoder: (B, in_channels, X, Y, Z) to four features on 1/2, 1/4, 1/8 and 1/16 of the grid."""

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], depths: tuple[int, ...], head_dim: int, mlp_ratio: int,
        norm: str,
    ) -> None:  # fmt: skip
        super().__init__()
        stages = []
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            embed = PatchEmbed(widths[level - 1] if level else in_channels, width)
            blocks: list[nn.Module] = [
                ConvBlock(width, mlp_ratio, norm) if level < 2 else AttentionBlock(width, head_dim, mlp_ratio)
                for _ in range(depth)
            ]
            stages.append(Stage(embed, blocks))
        self.stages = nn.ModuleList(stages)
        self.norm = channel_norm(norm, widths[-1])
        self.apply(_initialise)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features, fine to coarse: (B, widths[i], X / 2^(i+1), ...)."""
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        features[-1] = self.norm(image)
        return features


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Kaiming, fan-out, for convolutions (official code); linear layers keep torch's default."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
