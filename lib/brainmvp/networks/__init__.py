"""The networks of BrainMVP: one builder, two backbones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainmvp.errors import BrainMVPError
from brainmvp.networks.classifier import Classifier
from brainmvp.networks.config import NetworkConfig
from brainmvp.networks.heads import set_first_logit
from brainmvp.networks.unet import FineStep, UNet, UNetDecoder, UNetEncoder
from brainmvp.networks.uniformer import UniFormer

__all__ = ["NetworkConfig", "build_classifier", "build_encoder", "build_network"]


def build_encoder(config: NetworkConfig) -> UniFormer | UNetEncoder:
    """Return the encoder alone: (B, in_channels, X, Y, Z) to a list of features, fine to coarse."""
    if config.backbone == "unet":
        return UNetEncoder(config.in_channels, config.widths, config.depths, config.patches)
    return UniFormer(
        config.in_channels, config.widths, config.depths, config.head_dim, config.mlp_ratio, config.norm
    )


def build_network(config: NetworkConfig) -> nn.Module:
    """Return a segmentation network with fresh weights: (B, in_channels, X, Y, Z) float to logits.

    The logits are (B, out_channels, X, Y, Z), in evaluation and in training; with `config.deep_supervision` training
    gives a list of three such tensors, coarse to fine, the last of which is the result. `network.head` is the last
    convolution; a fresh one says that there is nothing (`heads.py`). A grid that is not a multiple of `config.stride`
    raises BrainMVPError. Weights and activations are channels-last (2 to 17 times faster depth-wise convolutions on a
    CPU, the tensor cores' layout on a GPU).
    """
    # Those that are made of MONAI's parts are loaded here alone: MONAI takes longer to load than a study to segment.
    if config.backbone in ("segresnet", "dynunet"):
        from brainmvp.networks.peers import build_peer

        network: nn.Module = build_peer(config)
    elif config.backbone == "unet":
        last = config.fine_width if config.patches else config.out_channels
        fine = (
            FineStep(config.in_channels, config.fine_width, config.out_channels) if config.patches else None
        )
        network = UNet(build_encoder(config), UNetDecoder(last, config.widths), fine)
    else:
        from brainmvp.networks.segmenter import UniUNet

        network = UniUNet(
            build_encoder(config), config.in_channels, config.out_channels, config.widths, config.fine_width,
            config.deep_supervision,
        )  # fmt: skip
    return _ready(set_first_logit(network), config)


def build_classifier(config: NetworkConfig) -> Classifier:
    """Return a classification network with fresh weights: (B, in_channels, X, Y, Z) float to (B, out_channels)."""
    return _ready(Classifier(build_encoder(config), config.widths[-1], config.out_channels), config)


def _ready(network: nn.Module, config: NetworkConfig) -> nn.Module:
    network = network.to(memory_format=torch.channels_last_3d)
    network.register_forward_pre_hook(_GridCheck(config))
    return network


class _GridCheck:
    """Refuse a grid or channel count that the network cannot take, and hand volumes on as channels-last."""

    def __init__(self, config: NetworkConfig) -> None:
        self.channels, self.stride = config.in_channels, config.stride

    def __call__(self, network: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        (image,) = inputs
        if (
            image.ndim != 5
            or image.shape[1] != self.channels
            or any(edge % self.stride for edge in image.shape[2:])
        ):
            raise BrainMVPError(
                f"the network takes (batch, {self.channels}, X, Y, Z) with edges that are multiples of {self.stride}, "
                f"got {tuple(image.shape)}: pad the volume"
            )
        return (image.contiguous(memory_format=torch.channels_last_3d),)
