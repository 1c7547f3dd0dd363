"""Two masked views of a sequence: which blocks stay, and what fills the others.

All draws happen on the CPU and are tiny (1728 flags per view), so a step on a GPU never waits for them; the views
themselves are made in one pass over the batch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Items
from dataclasses import dataclass, fields, replace

import torch
from torch import BoolTensor, LongTensor, Tensor

TEMPLATE = -1


@dataclass(frozen=True)
class Plan:
    """What one step reconstructs: N items, each of them one sequence of one study of the batch.

    study, position: (N,) row and channel of the item in the batch of images.
    sequence: (N,) index of its template.
    other: (N,) channel that fills view 2, or TEMPLATE.
    keep_first, keep_second: (N, bx, by, bz) bool, the blocks that stay.
    """

    study: LongTensor
    position: LongTensor
    sequence: LongTensor
    other: LongTensor
    keep_first: BoolTensor
    keep_second: BoolTensor

    def to(self, device: torch.device) -> Plan:
        """Return the plan with what the views need on `device`; `sequence` stays, it is read on the CPU."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in _ON_DEVICE}
        return replace(self, **moved)

    def pin_memory(self) -> Plan:
        """Return the plan with what goes to the device in pinned memory, so that it is copied while the GPU works."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _ON_DEVICE})


_ON_DEVICE = ("study", "position", "other", "keep_first", "keep_second")


def draw_plan(
    sequences: Items[Items[int]],
    blocks: tuple[int, int, int],
    mask_rate: float,
    generator: torch.Generator,
    chooser: random.Random,
    position: int | None = None,
    other_sequence: bool = True,
) -> Plan:
    """Draw the masks and the filling sequences of one step.

    Args:
        sequences: per study and channel the index of the sequence.
        blocks: number of masked blocks along each axis of the patch.
        mask_rate: share of the blocks that do not stay; `floor(blocks * (1 - mask_rate))` stay (official code).
        generator: CPU generator of the masks, drawn in the official order: view 1 of each item, then view 2.
        chooser: generator of the filling sequences.
        position: which channel each study reconstructs, modulo their number; None for all of them.
        other_sequence: fill view 2 from another sequence of the study where it has one; else from the template.

    """
    items = [
        (study, channel) for study, row in enumerate(sequences) for channel in _chosen(len(row), position)
    ]
    first = torch.stack([_keep(blocks, mask_rate, generator) for _ in items])
    second = torch.stack([_keep(blocks, mask_rate, generator) for _ in items])
    fill = [
        _other(sequences[study], channel, chooser) if other_sequence else TEMPLATE for study, channel in items
    ]
    study, channel = (torch.tensor(column) for column in zip(*items, strict=True))
    sequence = torch.tensor([sequences[study][channel] for study, channel in items])
    return Plan(study, channel, sequence, torch.tensor(fill), first, second)


def join_plans(plans: Items[Plan]) -> Plan:
    """Return the plans of single studies, drawn one by one, as the plan of their batch."""
    columns = {entry.name: torch.cat([getattr(plan, entry.name) for plan in plans]) for entry in fields(Plan)}
    rows = torch.arange(len(plans))
    counts = torch.tensor([len(plan.study) for plan in plans])
    return Plan(**columns | {"study": rows.repeat_interleave(counts)})


def masked_views(images: Tensor, template: Tensor, plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
    """Return (view 1, view 2, what both must reconstruct), each (N, 1, X, Y, Z).

    Args:
        images: (B, M, X, Y, Z), the patches of each study.
        template: (N, X, Y, Z), each item's own template at the place of its patch.
        plan: with its masks on the images' device.

    """
    own = images[plan.study, plan.position]
    other = images[plan.study, plan.other.clamp(min=0)]
    filling = torch.where((plan.other == TEMPLATE)[:, None, None, None], template, other)
    first = torch.where(_enlarge(plan.keep_first, own.shape), own, template)
    second = torch.where(_enlarge(plan.keep_second, own.shape), own, filling)
    return first[:, None], second[:, None], own[:, None]


def _chosen(channels: int, position: int | None) -> Items[int]:
    return range(channels) if position is None else [position % channels]


def _keep(blocks: tuple[int, int, int], mask_rate: float, generator: torch.Generator) -> BoolTensor:
    count = blocks[0] * blocks[1] * blocks[2]
    keep = torch.zeros(count, dtype=torch.bool)
    keep[torch.randperm(count, generator=generator)[: int(count * (1 - mask_rate))]] = True
    return keep.view(blocks)


def _other(row: Items[int], channel: int, chooser: random.Random) -> int:
    """Choose among the distinct other sequences of the study, then its first channel with it (official code)."""
    names = sorted(set(row) - {row[channel]})
    return list(row).index(chooser.choice(names)) if names else TEMPLATE


def _enlarge(keep: BoolTensor, shape: torch.Size) -> BoolTensor:
    for axis in (1, 2, 3):
        keep = keep.repeat_interleave(shape[axis] // keep.shape[axis], dim=axis)
    return keep
