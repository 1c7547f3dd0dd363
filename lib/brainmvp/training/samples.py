"""Phantoms as training samples: normalised, on one grid, with some sequences left out."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from brainmvp.intensity import normalise
from brainmvp.phantom import Phantom, make_phantom
from brainmvp.phantom.anatomy import Anatomy
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task, get_task
from brainmvp.training.plan import TrainingPlan

# Held-out phantoms have seeds that no training sample reaches.
HELD_OUT_SEED = 1_000_000_000
_COMPLETE = 0.6  # share of samples with every sequence; from the probe: complete sets teach most per step
_KEPT = 0.6  # probability that a sequence stays in an incomplete sample


@dataclass(frozen=True)
class Sample:
    """One training sample.

    images: (C, X, Y, Z) float16, normalised, zero where a sequence is left out; regions: (R, X, Y, Z) uint8;
    brain: (X, Y, Z) bool; offered: (R,) bool, whether the sequences that are there can show the region.
    """

    images: Tensor
    regions: Tensor
    brain: Tensor
    offered: Tensor


class PhantomSamples(Dataset):
    """Sample `index` is the same whoever makes it and whenever: resuming means to start from a later index."""

    def __init__(self, plan: TrainingPlan, anatomies: list[Anatomy], held_out: bool = False) -> None:
        self.plan, self.task, self.anatomies, self.held_out = plan, get_task(plan.task), anatomies, held_out

    def __len__(self) -> int:
        return self.plan.samples

    def __getitem__(self, index: int) -> Sample:
        seed = self.plan.seed * 10_000_019 + index + (HELD_OUT_SEED if self.held_out else 0)
        difficulty = 1.0 if self.held_out else min(1.0, index / max(1.0, self.plan.easy * self.plan.samples))
        phantom = make_phantom(
            seed,
            self.task.name,
            spacing=self.plan.spacing,
            difficulty=difficulty,
            anatomies=self.anatomies,
            sequences=self.task.sequences,
            disease=self.task.name if self.held_out else None,
        )
        generator = torch.Generator().manual_seed(seed)
        kept = set(self.task.sequences) if self.held_out else keep_sequences(self.task, generator)
        return sample_of(phantom, self.task, kept, self.plan.grid)


def keep_sequences(task: Task, generator: torch.Generator) -> set[Sequence]:
    """Draw the sequences that a sample keeps: all of them, or a random subset not below the task's minimum."""
    if torch.rand((), generator=generator) < _COMPLETE:
        return set(task.sequences)
    while True:
        draws = torch.rand(len(task.sequences), generator=generator) < _KEPT
        kept = {sequence for sequence, stays in zip(task.sequences, draws.tolist(), strict=True) if stays}
        if any(kept.issuperset(alternative) for alternative in task.minimum):
            return kept


def sample_of(phantom: Phantom, task: Task, kept: set[Sequence], grid: tuple[int, int, int]) -> Sample:
    """Return a phantom as a sample of a task, with these sequences."""
    zero = torch.zeros(phantom.brain.shape)
    channels = [normalise(phantom.images[s], phantom.brain, s) if s in kept else zero for s in task.sequences]
    regions = torch.stack(
        [torch.isin(phantom.labels, torch.tensor(region.labels)) for region in task.regions]
    )
    offered, _ = task.offered(kept)
    start = _start(phantom.brain, grid)
    return Sample(
        _fit(torch.stack(channels).half(), start, grid),
        _fit(regions.to(torch.uint8), start, grid),
        _fit(phantom.brain, start, grid),
        torch.tensor([region in offered for region in task.regions]),
    )


def collate(samples: list[Sample]) -> Sample:
    """Stack samples to a batch."""
    return Sample(*(torch.stack([getattr(s, name) for s in samples]) for name in Sample.__dataclass_fields__))


def _start(brain: Tensor, grid: tuple[int, int, int]) -> list[int]:
    """Return the first voxel of a box of the grid's size, centred on the brain; it may lie outside the image."""
    inside = brain.nonzero()
    centre = (inside.min(0).values + inside.max(0).values + 1) / 2
    return [round(float(c) - n / 2) for c, n in zip(centre, grid, strict=True)]


def _fit(values: Tensor, start: list[int], grid: tuple[int, int, int]) -> Tensor:
    result = values.new_zeros(*values.shape[:-3], *grid)
    shape = values.shape[-3:]
    source = tuple(slice(max(a, 0), min(a + n, m)) for a, n, m in zip(start, grid, shape, strict=True))
    target = tuple(slice(s.start - a, s.stop - a) for s, a in zip(source, start, strict=True))
    result[(..., *target)] = values[(..., *source)]
    return result
