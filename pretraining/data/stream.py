"""The endless stream of patches, in which every draw is a function of the seed and the place in the stream.

There is no random state to save: place k is the same patch with the same masks in whichever process, worker or resumed
run it is drawn. An optimiser step takes the next studies of the stream, so that no epoch has a tail: one that is not a
multiple of what a step takes ends within a step, and the gradients of all its studies count alike.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence as Items
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import LongTensor, Tensor
from torch.utils.data import Dataset

from brainmvp.sequences import Sequence

from ..masking import Plan, draw_plan, join_plans
from ..recipe import Recipe
from .cache import CachedImages
from .preprocess import LEVELS

Shape = tuple[int, int, int]
_ORDER = {sequence: number for number, sequence in enumerate(Sequence)}


class Batch:
    """What one process sees at a time; a plain class, which DDP and Fabric hand on untouched.

    images: (B, M, X, Y, Z) float32, 0 to 1, zero where a study has fewer series; start: (B, 3) place in the templates,
    on the CPU; counts: items of each process; studies: (sum(counts),) the study of each item of all processes; epoch:
    of the first study.
    """

    def __init__(
        self,
        images: Tensor,
        start: Tensor,
        plan: Plan,
        counts: tuple[int, ...],
        studies: LongTensor,
        epoch: int,
    ) -> None:
        self.images, self.start, self.plan, self.counts, self.epoch = images, start, plan, counts, epoch
        self.studies = studies

    def to(self, device: torch.device) -> Batch:
        """Return the batch with images and studies on a device, copied without waiting; the plan stays."""
        images, studies = (one.to(device, non_blocking=True) for one in (self.images, self.studies))
        return Batch(images, self.start, self.plan, self.counts, studies, self.epoch)

    def pin_memory(self) -> Batch:
        """Return the batch in pinned memory (called by the loader)."""
        images, studies = self.images.pin_memory(), self.studies.pin_memory()
        return Batch(images, self.start, self.plan.pin_memory(), self.counts, studies, self.epoch)


@dataclass(frozen=True)
class Sampling:
    """How patches are drawn.

    patch: voxels; template: shape of the templates; series: at most so many of a study, None for all.
    """

    patch: Shape
    template: Shape
    recipe: Recipe
    series: int | None
    seed: int

    def items(self, study: CachedImages) -> int:
        """Return how many sequences of a study a step reconstructs."""
        count = len(study.sequences)
        return (min(count, self.series or count)) if self.recipe.all_sequences else 1

    def draw(self, study: CachedImages, key: str, other_sequence: bool) -> tuple[Tensor, list[int], Plan]:
        """Return images (M, X, Y, Z) of a patch, its place in the templates, and what to reconstruct.

        key: names the draw; the same key gives the same patch and masks. Where the study is smaller than the patch,
        it lies in its middle, and the template goes on around it.
        """
        seed = _seed(f"{self.seed}/{key}")
        generator, chooser = torch.Generator().manual_seed(seed), random.Random(seed)
        chosen = (
            torch.randperm(len(study.sequences), generator=generator)[: self.series].sort().values.tolist()
        )
        first = [
            int(torch.randint(length - edge + 1, (1,), generator=generator))
            if length >= edge
            else -((edge - length) // 2)
            for edge, length in zip(self.patch, study.shape, strict=True)
        ]
        position = None if self.recipe.all_sequences else chooser.randrange(len(chosen))
        blocks = tuple(edge // self.recipe.block for edge in self.patch)
        plan = draw_plan(
            [[_ORDER[study.sequences[number]] for number in chosen]], blocks, self.recipe.mask_rate, generator, chooser,
            position, other_sequence,
        )  # fmt: skip
        images = torch.stack([self._patch(study, number, first) for number in chosen])
        # Middle on middle: the official rule for the place of a study in the templates.
        place = [
            begin + (room - length) // 2
            for begin, room, length in zip(first, self.template, study.shape, strict=True)
        ]
        return images, place, plan

    def _patch(self, study: CachedImages, number: int, first: list[int]) -> Tensor:
        box, inside = [], []
        for begin, edge, length in zip(first, self.patch, study.shape, strict=True):
            low, high = max(begin, 0), min(begin + edge, length)
            box.append(slice(low, high))
            inside.append(slice(low - begin, high - begin))
        patch = torch.zeros(self.patch)
        values = study.read(number, tuple(box)).astype(np.float32)
        patch[tuple(inside)] = torch.from_numpy(values) / LEVELS
        return patch


class Stream(Dataset):
    """Batches of one process by their number.

    Batch k holds the studies k * B * W + rank * B and on of the stream, B = `batch` and W = `world`: whatever W, the
    processes together take the same studies as one with a batch of B * W.
    """

    def __init__(
        self, studies: Items[CachedImages], sampling: Sampling, batch: int, rank: int = 0, world: int = 1
    ) -> None:
        self.studies, self.sampling, self.batch, self.rank, self.world = studies, sampling, batch, rank, world

    def __getitem__(self, number: int) -> Batch:
        first = number * self.batch * self.world
        studies = tuple(self._items(self._places(first, rank)) for rank in range(self.world))
        recipe = self.sampling.recipe
        draws = [
            self.sampling.draw(self._study(k), str(k), recipe.shows_other_sequence(self.epoch(k)))
            for k in self._places(first, self.rank)
        ]
        return join(draws, studies, self.epoch(first))

    def epoch(self, place: int) -> int:
        """Return how often the whole cohort has been seen before this place of the stream."""
        return place // len(self.studies)

    def _places(self, first: int, rank: int) -> range:
        return range(first + rank * self.batch, first + (rank + 1) * self.batch)

    def _items(self, places: range) -> list[int]:
        """Return the number of the study of each item of these places."""
        numbers = [self._number(k) for k in places]
        return [number for number in numbers for _ in range(self.sampling.items(self.studies[number]))]

    def _study(self, place: int) -> CachedImages:
        return self.studies[self._number(place)]

    def _number(self, place: int) -> int:
        epoch, row = divmod(place, len(self.studies))
        return _shuffled(self.sampling.seed, epoch, len(self.studies))[row]


def join(draws: Items[tuple[Tensor, list[int], Plan]], studies: Items[list[int]], epoch: int) -> Batch:
    """Return single draws as a batch; a study with fewer series than another is filled up with zeros.

    studies: of each process, the study of each of its items.
    """
    most = max(len(images) for images, _, _ in draws)
    images = torch.zeros(len(draws), most, *draws[0][0].shape[1:])
    for row, (own, _, _) in zip(images, draws, strict=True):
        row[: len(own)] = own
    plan = join_plans([plan for _, _, plan in draws])
    start = torch.tensor([start for _, start, _ in draws])
    counts, numbers = tuple(map(len, studies)), torch.tensor([number for own in studies for number in own])
    return Batch(images, start, plan, counts, numbers, epoch)


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(_seed(f"{seed}/order/{epoch}"))
    return torch.randperm(count, generator=generator).tolist()


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
