"""What a user would train without a pretraining: MONAI's own networks, from scratch, for comparison."""

from __future__ import annotations

from monai.networks.nets import DynUNet, SegResNet
from torch import nn

from brainmvp.networks.config import NetworkConfig


class _SegResNet(SegResNet):
    @property
    def head(self) -> nn.Conv3d:
        return self.conv_final[2].conv


class _DynUNet(DynUNet):
    @property
    def head(self) -> nn.Conv3d:
        return self.output_block.conv.conv


def build_peer(config: NetworkConfig) -> nn.Module:
    """Return MONAI's SegResNet (Myronenko, 2018) or DynUNet (nnU-Net; Isensee et al., 2021) of a configuration."""
    if config.backbone == "segresnet":
        return _SegResNet(
            init_filters=config.widths[0], in_channels=config.in_channels, out_channels=config.out_channels,
            blocks_down=config.depths, blocks_up=(1,) * (len(config.depths) - 1),
        )  # fmt: skip
    levels = len(config.widths)
    strides = [1] + [2] * (levels - 1)
    return _DynUNet(
        3, config.in_channels, config.out_channels, [3] * levels, strides, strides[1:], filters=config.widths,
        res_block=False,
    )  # fmt: skip
