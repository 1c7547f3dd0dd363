"""The decoders of the proxy tasks, without skips: all must pass through the coarsest feature."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from brainmvp.networks import NetworkConfig
from brainmvp.networks.unet import UNetDecoder


class LinearDecoder(nn.Module):
    """The coarsest feature (B, C, x, y, z) to one channel on the full grid, (B, 1, 16x, 16y, 16z).

    The official decoder has no norm, no skip and no activation, so its four 2x2x2 transposed convolutions and the
    last 1x1x1 are one linear map from each coarse voxel to its 16x16x16 patch. The kernels are composed first, in
    single precision, and applied as one matrix product: the same function with 1/12 of the multiplications and
    without the features on the fine grids, which are the larger part of the memory.
    """

    def __init__(self, widths: tuple[int, ...], fine_width: int) -> None:
        super().__init__()
        coarse_to_fine = (*widths[::-1], fine_width)
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(*pair, kernel_size=2, stride=2, bias=False)
            for pair in pairwise(coarse_to_fine)
        )
        self.head = nn.Conv3d(fine_width, 1, 1)

    def kernel(self) -> Tensor:
        """Return the composed kernel, (C, 16, 16, 16)."""
        kernel = self.head.weight[0]
        for up in reversed(self.ups):
            # in, out, and a step of two voxels outside the kernel so far
            kernel = torch.einsum("ioabc,oxyz->iaxbycz", up.weight, kernel)
            kernel = kernel.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return kernel

    def forward(self, feature: Tensor) -> Tensor:
        with torch.autocast(feature.device.type, enabled=False):
            kernel = self.kernel()
        edge = kernel.shape[1]
        patches = feature.permute(0, 2, 3, 4, 1) @ kernel.flatten(1) + self.head.bias
        return join_patches(patches, edge)


class PatchDecoder(nn.Module):
    """For a UNet that starts from patches: its decoder predicts the 2x2x2 voxels of each."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.decoder = UNetDecoder(2**3, widths)

    def forward(self, feature: Tensor) -> Tensor:
        return join_patches(self.decoder(feature).permute(0, 2, 3, 4, 1), 2)


def join_patches(patches: Tensor, edge: int) -> Tensor:
    """Lay (B, x, y, z, edge^3) patches side by side: (B, 1, edge * x, edge * y, edge * z)."""
    patches = patches.unflatten(4, (edge, edge, edge)).permute(0, 1, 4, 2, 5, 3, 6)
    return patches.flatten(5, 6).flatten(3, 4).flatten(1, 2)[:, None]


def build_decoder(network: NetworkConfig) -> nn.Module:
    """Return the decoder of the proxy tasks: the encoder's coarsest feature to one channel on the full grid."""
    if network.backbone == "uniformer":
        return LinearDecoder(network.widths, network.fine_width)
    return PatchDecoder(network.widths) if network.patches else UNetDecoder(1, network.widths)
