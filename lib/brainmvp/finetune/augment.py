"""Changes to training crops: flips, gains and offsets, small turns, and channels replaced."""

import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.finetune.randomness import between, chance
from brainmvp.tasks import Task

# Official script: RandScaleIntensity 0.1, RandShiftIntensity 0.1; classification turns by up to 0.1 rad, p 0.3.
_GAIN = _OFFSET = 0.1
_TURN, _TURN_CHANCE = 0.1, 0.3


def draw_flips(together: bool, generator: torch.Generator) -> list[int]:
    """Return the axes to flip, 0 to 2; together: all three or none (official script), else each by itself."""
    if together:
        return [0, 1, 2] if chance(generator) < 0.5 else []
    return [axis for axis in range(3) if chance(generator) < 0.5]


def change_intensity(image: Tensor, generator: torch.Generator) -> Tensor:
    """Scale each channel of (C, X, Y, Z) by 0.9 to 1.1 and shift it by up to 0.1, where it is not background."""
    shape = (len(image), 1, 1, 1)
    gain = 1 + _GAIN * (2 * torch.rand(shape, generator=generator) - 1)
    offset = _OFFSET * (2 * torch.rand(shape, generator=generator) - 1)
    return torch.where(image != 0, image * gain + offset, image)


def turn(image: Tensor, generator: torch.Generator) -> Tensor:
    """Turn (C, X, Y, Z) by up to 0.1 rad about each axis, in voxels, in three of ten cases."""
    if chance(generator) >= _TURN_CHANCE:
        return image
    rotation = torch.eye(3)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        angle = torch.tensor(_TURN * (2 * chance(generator) - 1))
        about = torch.eye(3)
        about[a, a] = about[b, b] = angle.cos()
        about[a, b], about[b, a] = -angle.sin(), angle.sin()
        rotation = rotation @ about
    # The grid's coordinates go from -1 to 1 along every edge, the last one first.
    edges = torch.tensor(image.shape[:0:-1], dtype=torch.float32)
    scaled = rotation * edges / edges[:, None]
    grid = functional.affine_grid(
        functional.pad(scaled, (0, 1))[None], (1, *image.shape), align_corners=False
    )
    return functional.grid_sample(image[None], grid, align_corners=False)[0]


def replace_channels(
    image: Tensor,
    fill: Tensor | None,
    shown: Tensor,
    task: Task,
    most: int,
    generator: torch.Generator,
    always: bool = False,
) -> tuple[Tensor, Tensor]:
    """Replace up to `most` channels, never all; return the image and which sequences are still shown, (C,) bool.

    Official code, RandomChannelCutmix: k of 0 to 3 channels become their template, which stands for its sequence: it
    counts as shown. Unless `always`, half of them become zero instead, as a missing sequence is at inference, and
    where there are no templates all do; then the task's minimum is kept, and a sequence is not shown any more.

    image: (C, X, Y, Z); fill: the same, or None.
    """
    present = [channel for channel in range(len(image)) if shown[channel]]
    count = between(0, max(min(most, len(present) - 1), 0), generator)
    chosen = torch.randperm(len(present), generator=generator)[:count].tolist()
    image, shown = image.clone(), shown.clone()
    for channel in (present[index] for index in chosen):
        kept = {s for i, s in enumerate(task.sequences) if shown[i] and i != channel}
        missing = fill is None or (not always and chance(generator) < 0.5)
        if missing and task.accepts(kept):
            image[channel] = 0
            shown[channel] = False
        elif fill is not None:
            image[channel] = fill[channel]
    return image, shown


def seen_regions(shown: Tensor, task: Task) -> Tensor:
    """Return which regions the shown sequences (C,) let one see, (R,) bool."""
    available = {s for s, there in zip(task.sequences, shown.tolist(), strict=True) if there}
    names = {region.name for region in task.offered(available)[0]}
    return torch.tensor([region.name in names for region in task.regions])
