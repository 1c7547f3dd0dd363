"""Heads that no scanner has seen, to learn from what a brain is in any sequence.

The brains are phantoms (made from MNI152 and, where given, open patients); around them lie made-up skulls, necks and
faces. Every sample gets other intensities, after Billot et al. (SynthSeg, Med Image Anal 2023) and Hoopes et al.
(SynthStrip, NeuroImage 2022).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from brainmvp.brain.network import SHAPE, SPACING, scaled
from brainmvp.phantom.anatomy import Anatomy
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.skull import LEVELS, TISSUES, head_room, smooth_noise, surroundings
from brainmvp.sequences import Sequence
from brainmvp.spatial import extent

_POOL_MM = 2.0
_SEQUENCES = (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR, Sequence.DWI)


@dataclass(frozen=True)
class Head:
    """A head at 2 mm, RAS.

    brains: (S, X, Y, Z) uint8, 100 is the brain's mean; tissue: (X, Y, Z) uint8, around it; brain: (X, Y, Z) bool.
    """

    brains: np.ndarray
    tissue: np.ndarray
    brain: np.ndarray


def make_head(seed: int, anatomies: list[Anatomy]) -> Head:
    """Return the head of a seed."""
    phantom = make_phantom(
        seed, "tumour", spacing=_POOL_MM, anatomies=anatomies, sequences=_SEQUENCES, difficulty=0.6
    )
    pad = head_room(_POOL_MM)
    brain = np.pad(phantom.brain.numpy(), pad)
    tissue = surroundings(brain, _POOL_MM, np.random.default_rng(seed))
    brains = [np.pad(image.numpy(), pad) for image in phantom.images.values()]
    brains = [
        np.clip(image / max(image[brain].mean(), 1e-6) * 100, 0, 255).astype(np.uint8) for image in brains
    ]
    return Head(np.stack(brains), tissue, brain)


def make_sample(head: Head, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return an image (X, Y, Z) as the network sees it, the brain 0…1, and where the scan reaches, bool."""
    number = int(rng.integers(len(_SEQUENCES)))
    image = _painted(head, _SEQUENCES[number], head.brains[number] / np.float32(100), rng)
    where = _placement(head.brain, rng)
    volumes = torch.from_numpy(np.stack([image, head.brain.astype(np.float32)]))
    image, brain = functional.grid_sample(volumes[None], where[None], align_corners=False)[0]
    seen = _field_of_view(brain, rng)
    return _scanned(image, seen, rng), brain, seen


def _painted(head: Head, sequence: Sequence, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.2:  # a contrast that no sequence has
        inside = np.where(head.brain, np.clip(rng.uniform(1.5, 2.2) - inside, 0, None), 0)
    inside = inside ** np.float32(rng.uniform(0.6, 1.5))
    levels = np.array(LEVELS[sequence]) * rng.uniform(0.5, 1.6, len(TISSUES))
    if rng.random() < 0.3:
        levels = rng.uniform(0, 2.2, len(TISSUES))
        levels[TISSUES.index("bone")] *= rng.choice([0.15, 0.15, 1.0])
    if rng.random() < 0.2:
        levels[TISSUES.index("fat")] = rng.uniform(0, 0.3)  # suppressed
    levels = np.array([rng.uniform(0, 0.08), *levels], np.float32)
    texture = 1 + rng.uniform(0, 0.35) * smooth_noise(inside.shape, rng, rng.uniform(1.5, 5))
    around = ndimage.gaussian_filter(levels[head.tissue] * texture.astype(np.float32), rng.uniform(0, 0.7))
    return np.where(head.brain, inside, around)


def _placement(brain: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Return where to sample the head for each voxel of the network's grid, as `grid_sample` wants it."""
    angles = np.clip(rng.normal(0, 10, 3), -28, 28)
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = matrix @ np.diag(rng.uniform(0.9, 1.1, 3) * rng.uniform(0.88, 1.14)) * (SPACING / _POOL_MM)
    if rng.random() < 0.5:
        matrix[:, 0] *= -1
    middle = np.mean(extent(brain), axis=1)
    # The network's box begins above the vertex; the brain fills its upper half.
    offset = np.array([0, 0, -0.13 * SHAPE[2]]) + rng.normal(0, 3.0, 3)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in SHAPE]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) + torch.tensor(offset, dtype=torch.float32)
    source = index @ torch.tensor(matrix.T, dtype=torch.float32) + torch.tensor(middle, dtype=torch.float32)
    bend = [smooth_noise(SHAPE, rng, rng.uniform(8, 16)) for _ in range(3)]
    source += torch.from_numpy(np.stack(bend, -1)) * rng.uniform(0, 1.5)
    size = torch.tensor(brain.shape, dtype=torch.float32)
    return ((source + 0.5) / size * 2 - 1).flip(-1)


def _field_of_view(brain: Tensor, rng: np.random.Generator) -> Tensor:
    """Return what is scanned: heads are cut off below, sometimes within the brain, rarely on other sides."""
    seen = torch.ones(SHAPE, dtype=torch.bool)
    low, high = (int(v) for v in (brain > 0.5).any(0).any(0).nonzero().flatten()[[0, -1]])
    if rng.random() < 0.75:
        seen[:, :, : max(low + int(rng.integers(-10, 5)), 0)] = False
    if rng.random() < 0.1:
        seen[:, :, high - int(rng.integers(-3, 10)) :] = False
    if rng.random() < 0.15:
        side = int(rng.integers(2, 10))
        seen[:, -side:] = False
    return seen


def _scanned(image: Tensor, seen: Tensor, rng: np.random.Generator) -> Tensor:
    data = image.numpy()
    sigma = np.full(3, rng.uniform(0, 0.4))
    if rng.random() < 0.5:
        sigma[rng.choice(3, p=(0.2, 0.2, 0.6))] = rng.uniform(0.3, 0.8)  # slices of up to 8 mm
    data = ndimage.gaussian_filter(data, sigma)
    data = data * np.exp(rng.uniform(0, 0.5) * smooth_noise(SHAPE, rng, 16))
    noise = rng.uniform(0, 0.08) * rng.standard_normal((2, *SHAPE))
    data = np.hypot(data + noise[0], noise[1])
    return scaled(torch.from_numpy(np.where(seen.numpy(), data, 0).astype(np.float32)))
