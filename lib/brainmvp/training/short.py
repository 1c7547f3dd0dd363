"""A short training in memory on labelled brains, as the built-in models learn: for studies of many small trainings."""

from collections.abc import Sequence as Items
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.finetune.augment import seen_regions
from brainmvp.phantom.generator import Phantom
from brainmvp.spatial import extent
from brainmvp.steps import GRADIENT_LIMIT, rate
from brainmvp.tasks import Task
from brainmvp.training.loss import dice, region_targets, segmentation_loss
from brainmvp.training.optim import make_optimisers

_BATCH = 2
_WARM_UP = 20


class Brain(NamedTuple):
    """A labelled study as a network sees it: images (C, X, Y, Z) float, zero outside the brain; labels (X, Y, Z)."""

    images: Tensor
    labels: Tensor


def brain_of(phantom: Phantom, task: Task) -> Brain:
    """Return a phantom cropped to its brain; on one grid and without a skull as it is, it needs no preparation."""
    box = tuple(slice(low, high + 1) for low, high in extent(phantom.brain.numpy()))
    images = torch.stack([phantom.normalised(sequence)[box] for sequence in task.sequences])
    return Brain(images, phantom.labels[box])


def learn_shortly(
    network: nn.Module, task: Task, brains: Items[Brain], *, window: tuple[int, int, int], steps: int, lr: float,
    seed: int,
) -> nn.Module:  # fmt: skip
    """Train for a fixed number of steps, on the network's device, and return the network, ready for inference.

    window: voxels, multiples of the network's stride; larger brains are cut at random, smaller ones padded. Each epoch
    has every brain once, half of them mirrored left to right. Equal arguments give equal weights on one machine.
    """
    device = next(network.parameters()).device
    optimisers = make_optimisers(network.to(memory_format=torch.channels_last_3d).train(), lr)
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    draw = torch.Generator().manual_seed(seed)
    order: list[int] = []
    for step in range(steps):
        for group in groups:
            group["lr"] = lr * rate(step / steps, step, _WARM_UP)
        while len(order) < _BATCH:
            order += torch.randperm(len(brains), generator=draw).tolist()
        chosen, order = order[:_BATCH], order[_BATCH:]
        pairs = [_sample(brains[i], window, draw) for i in chosen]
        images, labels = (torch.stack(parts).to(device) for parts in zip(*pairs, strict=True))
        seen = torch.stack([_seen(brain, task) for brain in pairs]).to(device)
        logits = network(images.contiguous(memory_format=torch.channels_last_3d))
        inside = (images != 0).any(1, keepdim=True)
        loss = segmentation_loss(logits, region_targets(labels, task), seen, inside)
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_LIMIT)
        for optimiser in optimisers:
            optimiser.step()
    return network.eval()


def _seen(brain: Brain, task: Task) -> Tensor:
    """Return which regions can be seen, (R,) bool: a sequence that a study lacks is zero everywhere."""
    return seen_regions(brain.images.flatten(1).any(1), task)


def _sample(brain: Brain, window: Items[int], draw: torch.Generator) -> Brain:
    """Return a brain in a window, mirrored or not."""
    if float(torch.rand((), generator=draw)) < 0.5:
        brain = Brain(brain.images.flip(1), brain.labels.flip(0))
    parts = list(brain)
    for axis, edge in zip((-3, -2, -1), window, strict=True):
        size = brain.labels.shape[axis]
        first = int(torch.randint(0, max(size - edge, 0) + 1, (), generator=draw))
        parts = [part.narrow(axis, first, min(size, edge)) for part in parts]
    rooms = [edge - size for edge, size in zip(window, parts[1].shape, strict=True)]
    padding = [n for room in reversed(rooms) for n in (room // 2, room - room // 2)]
    return Brain(*(functional.pad(part, padding) for part in parts))


@torch.inference_mode()
def region_probabilities(network: nn.Module, brain: Brain, stride: int) -> Tensor:
    """Return the probability of each region, (R, X, Y, Z) on the CPU, zero outside the brain.

    stride: what the edges of the network's input must be multiples of, voxels.
    """
    shape = brain.labels.shape
    padding = [n for size in reversed(shape) for n in (0, -size % stride)]
    images = functional.pad(brain.images, padding)[None].to(next(network.parameters()).device)
    logits = network(images.contiguous(memory_format=torch.channels_last_3d))
    inside = (brain.images != 0).any(0)
    return logits[0, :, : shape[0], : shape[1], : shape[2]].sigmoid().cpu() * inside


def region_dice(network: nn.Module, task: Task, brains: Items[Brain], stride: int) -> np.ndarray:
    """Return the Dice of each brain and region, (N, R).

    One where there is nothing to find and nothing is found; NaN where the sequences cannot show it.
    """
    rows = []
    for brain in brains:
        found = region_probabilities(network, brain, stride)
        row = dice(found[None], region_targets(brain.labels[None], task))[0]
        rows.append(row.where(_seen(brain, task), torch.nan).numpy())
    return np.stack(rows)
