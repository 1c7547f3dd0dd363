"""The network that tells brain from the rest of the head, in any sequence, on a grid of 4 mm."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.special import expit
from torch import Tensor, nn

from brainmvp.brain.prior import penalty
from brainmvp.foreground import clean, foreground
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.registration.reduce import reduced
from brainmvp.spatial import Grid, put_back, resample, resample_mask
from brainmvp.volume import Volume

SPACING = 4.0  # mm
SHAPE = (56, 64, 64)  # 224 x 256 x 256 mm
_WEIGHTS = Path(__file__).parent / "weights.safetensors"
_ABOVE_VERTEX = 20.0  # mm
_SURE = 6.0  # logit: beyond this the network is no surer, and can be overruled


def new_network() -> nn.Module:
    """Return the network with random weights: (B, 1, X, Y, Z) scaled image to logits of the same shape."""
    config = NetworkConfig(
        backbone="unet", in_channels=1, out_channels=1, widths=(16, 32, 64), depths=(1, 1, 1), patches=True,
        fine_width=8,
    )  # fmt: skip
    return build_network(config)


@lru_cache(maxsize=1)
def load_network() -> nn.Module:
    """Return the network with the built-in weights."""
    network = new_network()
    network.load_state_dict({name: value.float() for name, value in load_file(_WEIGHTS).items()})
    return network.eval()


def scaled(image: Tensor) -> Tensor:
    """Return an image (X, Y, Z) scaled so that its percentile 98 is 1, cut at 1.5; air and what was not seen is 0."""
    shown = image[image > 0]
    level = shown.kthvalue(max(round(0.98 * shown.numel()), 1)).values if shown.numel() else torch.ones(())
    return (image / level.clamp_min(1e-6)).clamp(0, 1.5)


def brain_mask(volume: Volume, network: nn.Module | None = None) -> np.ndarray:
    """Return where the brain is in an image with a skull, (X, Y, Z) bool on the image's grid."""
    grid = _grid(volume)
    image = torch.from_numpy(resample(volume, grid))
    with torch.inference_mode():
        logits = (network or load_network())(scaled(image)[None, None])[0, 0].float().numpy()
    seen = resample_mask(np.ones(volume.shape, bool), volume.affine, grid)
    logits = np.clip(logits, -_SURE, _SURE) - penalty(logits, seen, grid)
    probability = expit(logits)
    return clean(put_back(probability[None], grid, Grid(volume.shape, volume.affine))[0] > 0.5)


def _grid(volume: Volume) -> Grid:
    """Return the network's box: from above the vertex downwards, in the middle of the head's upper part."""
    coarse = reduced(volume, SPACING)
    points = np.argwhere(clean(foreground(coarse))) @ coarse.affine[:3, :3].T + coarse.affine[:3, 3]
    top = points[:, 2].max()
    upper = points[points[:, 2] > top - 100]
    low = (
        np.array([*(upper[:, :2].min(0) + upper[:, :2].max(0)) / 2, 0.0])
        - SPACING * (np.array(SHAPE) - 1) / 2
    )
    low[2] = top + _ABOVE_VERTEX - SPACING * (SHAPE[2] - 1)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = low
    return Grid(SHAPE, affine)
