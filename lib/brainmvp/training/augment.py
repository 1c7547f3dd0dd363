"""Changes to a batch that cost nothing, made where the network is trained: flips, gains, sequences left out."""

import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.finetune.augment import seen_regions
from brainmvp.finetune.randomness import chance
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task

# Sets that hospitals often have; the others are drawn sequence by sequence.
_COMMON: dict[str, tuple[tuple[Sequence, ...], ...]] = {
    "tumour": (
        (Sequence.FLAIR,),
        (Sequence.T1CE, Sequence.FLAIR),
        (Sequence.T1CE,),
        (Sequence.T1, Sequence.T2, Sequence.FLAIR),
    ),
    "stroke": ((Sequence.DWI,), (Sequence.DWI, Sequence.ADC), (Sequence.DWI, Sequence.FLAIR)),
}
# Of gain and offset for ADC, which has units: an infarct is known by its value.
_ADC_SHARE = 0.25


def vary(images: Tensor, labels: Tensor, task: Task, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip some axes, move by some voxels, and change gain and offset of each channel inside the brain.

    images: (B, C, X, Y, Z), channels as the task's sequences; labels: (B, X, Y, Z); generator: on the CPU.
    """
    results = []
    for image, label in zip(images, labels, strict=True):
        numbers = torch.rand(3, generator=generator)
        axes = [axis for axis, limit in enumerate((0.5, 0.1, 0.1)) if numbers[axis] < limit]
        shifts = torch.randint(-3, 4, (3,), generator=generator).tolist()
        image = moved(image.flip([axis + 1 for axis in axes]), shifts)
        results.append((image, moved(label.flip(axes), shifts)))
    images = torch.stack([image for image, _ in results])
    shape = (*images.shape[:2], 1, 1, 1)
    share = torch.tensor([_ADC_SHARE if s is Sequence.ADC else 1.0 for s in task.sequences])
    share = share[:, None, None, None]
    gain = 1 + share * (0.4 * torch.rand(shape, generator=generator) - 0.2)
    offset = share * (0.2 * torch.rand(shape, generator=generator) - 0.1)
    varied = images * gain.to(images.device) + offset.to(images.device)
    return torch.where(images != 0, varied, 0.0), torch.stack([label for _, label in results])


def moved(image: Tensor, shifts: list[int]) -> Tensor:
    """Return an image (..., X, Y, Z) moved by some voxels along each axis; what comes in is zero."""
    pad = [edge for shift in reversed(shifts) for edge in (shift, -shift)]
    return functional.pad(image, pad)


def leave_out(
    images: Tensor, task: Task, complete: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Zero the channels of sequences left out; return the images and which regions can then be seen, (B, R) bool.

    complete: the share of samples that keep all sequences.
    """
    kept = [_draw_sequences(task, complete, generator) for _ in images]
    shown = torch.tensor([[sequence in own for sequence in task.sequences] for own in kept])
    seen = torch.stack([seen_regions(row, task) for row in shown])
    return images * shown[:, :, None, None, None].to(images.device), seen.to(images.device)


def _draw_sequences(task: Task, complete: float, generator: torch.Generator) -> set[Sequence]:
    if chance(generator) < complete:
        return set(task.sequences)
    if chance(generator) < 0.75:
        sets = _COMMON[task.name]
        return set(sets[int(chance(generator) * len(sets))])
    kept = {sequence for sequence in task.sequences if chance(generator) < 0.6}
    least = task.minimum
    return kept if task.accepts(kept) else kept | set(least[int(chance(generator) * len(least))])
