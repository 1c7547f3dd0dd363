"""Cheap variations of a sample, so that a phantom that cost a third of a second teaches more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from brainmvp.training.samples import Sample

_GAIN, _OFFSET, _NOISE = 0.2, 0.1, 0.05
_FLIPS = (0.5, 0.15, 0.15)  # along left-right, back-front, foot-head


class Pool:
    """The last phantoms, on the device; a step draws from it with flips, and with gain and offset per sequence."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.device = size, device
        # By sample index modulo size, so that a resumed run that fills the pool again draws the same.
        self._samples: dict[int, Sample] = {}

    def add(self, batch: Sample, first: int) -> None:
        """Take in a batch whose first sample has this index, in the place of the oldest."""
        for offset in range(len(batch.images)):
            tensors = (tensor[offset].to(self.device, non_blocking=True) for tensor in vars(batch).values())
            self._samples[(first + offset) % self.size] = type(batch)(*tensors)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images (B, C, X, Y, Z) float32, regions, brain and offered of `count` random samples, varied."""
        chosen = torch.randint(len(self._samples), (count,), generator=generator).tolist()
        seed = int(torch.randint(2**31, (), generator=generator))
        noise = torch.Generator(self.device).manual_seed(seed)
        varied = [_vary(self._samples[index], generator, noise) for index in chosen]
        return tuple(torch.stack(tensors) for tensors in zip(*varied, strict=True))


def _vary(
    sample: Sample, generator: torch.Generator, on_device: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    axes = [axis for axis, share in enumerate(_FLIPS, -3) if torch.rand((), generator=generator) < share]
    images, regions, brain = (
        tensor.flip(axes) for tensor in (sample.images.float(), sample.regions, sample.brain)
    )
    count = len(images)
    gain = 1 + _GAIN * (2 * torch.rand(count, generator=generator) - 1)
    offset = _OFFSET * (2 * torch.rand(count, generator=generator) - 1)
    noise = _NOISE * torch.rand(count, generator=generator)
    present = (images != 0).flatten(1).any(1)
    inside = brain & present[:, None, None, None]
    gain, offset, noise = (values.to(images.device)[:, None, None, None] for values in (gain, offset, noise))
    changed = (
        images * gain + offset + noise * torch.randn(images.shape, generator=on_device, device=images.device)
    )
    return torch.where(inside, changed, 0.0), regions, brain, sample.offered
