"""The published classifier: the encoder's coarsest feature, averaged over the volume, and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainmvp.networks.unet import UNetEncoder
from brainmvp.networks.uniformer import UniFormer


class Classifier(nn.Module):
    """(B, in_channels, X, Y, Z) to logits (B, classes).

    Official code, downstream classification: global average pooling, then `Linear(512)` on a UniFormer,
    `Linear(256)` on a UNet; the author calls it "simply a MLP with softmax".
    """

    def __init__(self, encoder: UniFormer | UNetEncoder, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.flatten(self.encoder(image)[-1], 2).mean(2))
