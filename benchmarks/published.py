"""A plain implementation of the published networks and steps, to measure ours against.

Written from the specification: attention by two matrix products, contiguous volumes that are turned to (Z, X, Y) and
back, a decoder that runs each transposed convolution, masks drawn and applied sample by sample with boolean indexing,
templates scaled as whole volumes for every sample and view, losses read on the host in every step, single precision.
Left out in its favour: the official trainer's anomaly detection, which is slow. Entries have the published names.
"""

from __future__ import annotations

import torch
from monai.networks.blocks import UnetOutBlock, UnetrUpBlock
from torch import Tensor, nn
from torch.nn import functional

WIDTHS, DEPTHS, HEAD_DIM = (64, 128, 320, 512), (3, 4, 8, 3), 64


class PatchEmbed(nn.Module):
    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(
            in_channels, channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        image = self.proj(image)
        tokens = self.norm(image.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(image.shape).contiguous()


class Mlp(nn.Module):
    def __init__(self, channels: int, conv: bool) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(channels, 4 * channels, 1) if conv else nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Conv3d(4 * channels, channels, 1) if conv else nn.Linear(4 * channels, channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(image)))


class ConvBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.BatchNorm3d(channels)
        self.conv1 = nn.Conv3d(channels, channels, 1)
        self.conv2 = nn.Conv3d(channels, channels, 1)
        self.attn = nn.Conv3d(channels, channels, 5, padding=2, groups=channels)
        self.norm2 = nn.BatchNorm3d(channels)
        self.mlp = Mlp(channels, conv=True)

    def forward(self, image: Tensor) -> Tensor:
        image = image + self.pos_embed(image)
        image = image + self.conv2(self.attn(self.conv1(self.norm1(image))))
        return image + self.mlp(self.norm2(image))


class Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD_DIM
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, HEAD_DIM).permute(2, 0, 3, 1, 4)
        weights = (qkv[0] @ qkv[1].transpose(-2, -1) * HEAD_DIM**-0.5).softmax(-1)
        return self.proj((weights @ qkv[2]).transpose(1, 2).reshape(batch, count, channels))


class AttentionBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels, conv=False)

    def forward(self, image: Tensor) -> Tensor:
        image = image + self.pos_embed(image)
        tokens = image.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(image.shape)


class Encoder(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        for level, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True), 1):
            before = in_channels if level == 1 else WIDTHS[level - 2]
            setattr(self, f"patch_embed{level}", PatchEmbed(before, width, 2, 2))
            kind = ConvBlock if level < 3 else AttentionBlock
            setattr(self, f"blocks{level}", nn.ModuleList([kind(width) for _ in range(depth)]))
        self.norm = nn.BatchNorm3d(WIDTHS[-1])

    def forward(self, image: Tensor) -> list[Tensor]:
        image = image.permute(0, 1, 4, 2, 3)
        features = [image]
        for level in range(1, 5):
            image = getattr(self, f"patch_embed{level}")(image)
            for block in getattr(self, f"blocks{level}"):
                image = block(image)
            features.append(image)
        features[-1] = self.norm(image)
        return features


def turn_back(image: Tensor) -> Tensor:
    return image.permute(0, 1, 3, 4, 2)


class Decoder(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, pretraining: bool) -> None:
        super().__init__()
        for level, (before, after) in enumerate(((512, 320), (320, 128), (128, 64), (64, 64))):
            setattr(self, f"decoder{5 - level}", UnetrUpBlock(3, before, after, 3, 2, "instance", True))
        self.proj1 = PatchEmbed(in_channels, 64, 3, 1)
        setattr(self, "out_1" if pretraining else "out", UnetOutBlock(3, 64, out_channels))


class Segmenter(nn.Module):
    """The published segmenter with its deep supervision."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels)
        self.decoder = Decoder(in_channels, out_channels, pretraining=False)
        self.ms_out = nn.ModuleList([nn.Conv3d(width, out_channels, 1) for width in (128, 64)])

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        x0, x1, x2, x3, x4 = self.encoder(image)
        decoder = self.decoder
        fourth = decoder.decoder5(turn_back(x4), turn_back(x3))
        third = decoder.decoder4(fourth, turn_back(x2))
        second = decoder.decoder3(third, turn_back(x1))
        out = decoder.out(decoder.decoder2(second, turn_back(decoder.proj1(x0))))
        if not self.training:
            return out
        coarse = [head(part) for head, part in zip(self.ms_out, (third, second), strict=True)]
        coarse = [
            functional.interpolate(part, out.shape[2:], mode="trilinear", align_corners=True)
            for part in coarse
        ]
        return [*coarse, out]


class Pretrainer(nn.Module):
    """The published pretraining step, `script` recipe, contrast included."""

    def __init__(self, template_shape: tuple[int, int, int], edge: int = 96) -> None:
        super().__init__()
        self.edge = edge
        self.encoder = nn.ModuleDict({"uniformer": Encoder(1)})
        self.decoder = Decoder(1, 1, pretraining=True)
        self.rep_template = nn.Parameter(torch.zeros(8, *template_shape))

    def template(self, sequence: int, start: list[int]) -> Tensor:
        whole = self.rep_template[sequence]
        whole = (whole - whole.min()) / (whole.max() - whole.min() + 1e-9)
        return whole[tuple(slice(first, first + self.edge) for first in start)]

    def view(self, own: Tensor, filling: list[Tensor], generator: torch.Generator) -> Tensor:
        views = []
        for image, other in zip(own, filling, strict=True):
            count = self.edge // 8
            order = torch.randperm(count**3, generator=generator)
            blocks = torch.stack(torch.meshgrid(*[torch.arange(count)] * 3, indexing="ij"), -1).view(-1, 3)
            keep = torch.zeros([self.edge] * 3, dtype=torch.bool)
            for x, y, z in (8 * blocks[order[: int(count**3 * 0.2)]]).tolist():
                keep[x : x + 8, y : y + 8, z : z + 8] = True
            keep = keep.to(image.device)
            view = torch.zeros_like(image)
            view[keep] = image[keep]
            view[~keep] = other[~keep]
            views.append(view)
        return torch.stack(views)[:, None]

    def forward(
        self, images: Tensor, sequences: list[int], starts: list[list[int]], index: int, others: list[int],
        generator: torch.Generator,
    ) -> tuple[Tensor, list[float]]:  # fmt: skip
        """Return (loss to differentiate, [total, view 1, view 2, contrast] on the host)."""
        own = images[:, index]
        templates = [self.template(*place) for place in zip(sequences, starts, strict=True)]
        first = self.view(own, templates, generator)
        second = self.view(own, [images[row, other] for row, other in enumerate(others)], generator)
        feature = self.encoder["uniformer"](torch.cat([first, second]))[-1]
        image = turn_back(feature)
        for level in (5, 4, 3, 2):
            image = getattr(self.decoder, f"decoder{level}").transp_conv(image)
        image = self.decoder.out_1(image)
        left, right = (functional.normalize(part.flatten(1), dim=1) for part in feature.chunk(2))
        similarity = left @ right.T
        same = torch.arange(len(left), device=left.device)
        contrast = functional.cross_entropy(similarity, same) + functional.cross_entropy(similarity.T, same)
        parts = [functional.mse_loss(part, own[:, None]) for part in image.chunk(2)]
        total = 10 * parts[0] + parts[1] + contrast / 2
        return total, [total.item(), parts[0].item(), parts[1].item(), contrast.item() / 2]
