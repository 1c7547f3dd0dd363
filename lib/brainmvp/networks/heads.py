"""The convolutions that give the logits, and what a network says before it has learned anything."""

from __future__ import annotations

from torch import nn

# Most voxels belong to no region, so a fresh network gives each a probability of 0.05 (a prior as in Lin et al., Focal
# loss, ICCV 2017). From one half, the first hundreds of steps teach it only to be silent.
FIRST_LOGIT = -3.0


def heads_of(network: nn.Module) -> list[nn.Conv3d]:
    """Return the last convolution of a segmentation network, and those of its deep supervision."""
    return [network.head, *getattr(network, "coarse_heads", ())]


def set_first_logit(network: nn.Module, logit: float = FIRST_LOGIT) -> nn.Module:
    """Make all biases of the heads the same, in place, and return the network."""
    for head in heads_of(network):
        nn.init.constant_(head.bias, logit)
    return network
