"""From the files of a study to the tensor that a network sees, remembering the way back."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from brainmvp.bias import evened
from brainmvp.brain import BUILT_IN, STRIPPED, Brain, find_brain, voted
from brainmvp.clock import Clock
from brainmvp.coverage import with_coverage
from brainmvp.errors import BrainMVPError
from brainmvp.foreground import background_value, clean, foreground
from brainmvp.intensity import normalise
from brainmvp.registration import Alignment, align, doubts, with_overlap
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, extent, ras_grid, resample, resample_mask
from brainmvp.study import Study
from brainmvp.volume import Volume, read_volume

# The head is found on a coarse copy first; finer detail does not move its bounding box.
_COARSE_MM = 3.0
# A sequence has a vote on what is brain if its own is so much the same (Dice).
_ALIKE = 0.85
# What is corrected for the bias field, as far as that was measured to help; ADC has none.
EVENED = (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR)


@dataclass(frozen=True)
class Prepared:
    """A study on a working grid.

    images: (C, X, Y, Z) float32 normalised, RAS, isotropic, channels as asked for, zero where missing;
    brain: (X, Y, Z) bool; grid: the working grid; reference: the image whose grid the result has; found: the brain on
    the reference's grid; alignments: how each other sequence was put onto the reference; the doubtful ones among them
    are not used; flagged: why a sequence that was scanned was not used.
    """

    images: Tensor
    brain: np.ndarray
    grid: Grid
    reference: Volume
    reference_sequence: Sequence
    used: tuple[Sequence, ...]
    filled: tuple[Sequence, ...]
    found: Brain
    alignments: dict[Sequence, Alignment] = field(default_factory=dict)
    flagged: dict[Sequence, str] = field(default_factory=dict)


def prepare(
    study: Study,
    sequences: tuple[Sequence, ...],
    reference: Sequence,
    spacing: float,
    brain_tool: str = BUILT_IN,
    clock: Clock | None = None,
    even_out: tuple[Sequence, ...] = EVENED,
) -> Prepared:
    """Read, align, resample, even out (with the skull still there) and normalise the sequences of a study.

    sequences: the network's channels in order; spacing: of the working grid, mm; brain_tool: who finds the brain where
    the skull is still there, one of `brain.CHOICES`; even_out: which sequences N4 corrects. A sequence that the study
    lacks, or whose alignment is doubtful, becomes a channel of zeros. Raises `BrainMVPError` naming the file that
    cannot be used.
    """
    clock = clock or Clock()
    target = read_volume(study.images[reference])
    clock.lap("read")
    found = find_brain(target, brain_tool)
    if not found.mask.any():
        raise _no_brain(target)
    clock.lap("brain")
    volumes, alignments, own, votes = {reference: target}, {}, dict[Sequence, Volume](), []
    for sequence in (s for s in sequences if s in study.images and s is not reference):
        volume = volumes[sequence] = read_volume(study.images[sequence])
        clock.lap("read")
        alignment = align(volume, target)
        clock.lap("align")
        if alignment.moved:
            own[sequence] = Volume(find_brain(volume).mask, volume.affine)
            alignment, laid = with_overlap(alignment, own[sequence], Volume(found.mask, target.affine))
            if found.source == BUILT_IN and alignment.brains > _ALIKE:
                votes.append(laid.vote(found.mask))
            clock.lap("brain")
        alignments[sequence] = alignment

    found = voted(found, votes, target.voxel_ml)
    brains = {sequence: brain.data for sequence, brain in own.items()}
    alignments = with_coverage(alignments, volumes, target, found.mask, brains)
    clock.lap("coverage")
    grid, brain = _brain_grid(found.mask, target, spacing)
    used = tuple(s for s in sequences if s in volumes and not (s in alignments and alignments[s].doubt))
    channels = []
    for sequence in sequences:
        if sequence not in used:
            channels.append(torch.zeros(grid.shape))
            continue
        volume = volumes[sequence]
        world = alignments[sequence].world if sequence in alignments else np.eye(4)
        # Slices that a sequence does not cover are not part of its brain: their zeros would shift its percentiles.
        seen = brain & resample_mask(_covered(volume), volume.affine, grid, world)
        image = resample(volume, grid, world)
        clock.lap("resample")
        if found.source != STRIPPED and sequence in even_out:
            image = evened(image, seen, spacing)
            clock.lap("bias")
        channels.append(normalise(torch.from_numpy(image), torch.from_numpy(seen), sequence))
    missing = tuple(sequence for sequence in sequences if sequence not in used)
    flagged = flagged_of(study, missing, alignments)
    return Prepared(
        torch.stack(channels), brain, grid, target, reference, used, missing, found, alignments, flagged
    )


def flagged_of(
    study: Study, filled: tuple[Sequence, ...], alignments: dict[Sequence, Alignment]
) -> dict[Sequence, str]:
    """Return why a sequence that was scanned was not used; filled: those for which zeros stand in."""
    unusable = {sequence: why for sequence, why in study.unusable.items() if sequence in filled}
    return doubts(alignments) | unusable


def _covered(volume: Volume) -> np.ndarray:
    """Return where an image was scanned: all of it, or what a stripped or masked one has left."""
    if background_value(volume.data) is None:
        return np.ones(volume.shape, bool)
    return foreground(volume)


def _no_brain(image: Volume) -> BrainMVPError:
    return BrainMVPError(f"{image.path} shows no head or no brain; check that it is the right image.")


def _brain_grid(mask: np.ndarray, volume: Volume, spacing: float) -> tuple[Grid, np.ndarray]:
    """Return the grid around a brain (X, Y, Z) bool, with a voxel to spare, and the brain on it."""
    step = np.maximum(_COARSE_MM // volume.spacing, 1).astype(int)
    coarse = clean(mask[tuple(slice(None, None, s) for s in step)])
    affine = volume.affine @ np.diag([*step, 1.0])
    grid = ras_grid(coarse, affine, spacing, margin_mm=2 * _COARSE_MM)
    brain = clean(resample_mask(mask, volume.affine, grid))
    if not brain.any():  # a speck of a few voxels can vanish on the grid
        raise _no_brain(volume)
    box = [
        slice(max(low - 1, 0), min(high + 2, size))
        for (low, high), size in zip(extent(brain), brain.shape, strict=True)
    ]
    affine = grid.affine.copy()
    affine[:3, 3] = (grid.affine @ [*(part.start for part in box), 1.0])[:3]
    return Grid(tuple(part.stop - part.start for part in box), affine), brain[tuple(box)]
