"""Where the brain is in an image: as it is if the skull is gone, else by a network, HD-BET or SynthStrip."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from brainmvp.brain.external import TOOLS, by_tool, program_of
from brainmvp.brain.network import brain_mask
from brainmvp.brain.stripped import is_stripped
from brainmvp.errors import BrainMVPError
from brainmvp.foreground import clean, foreground
from brainmvp.volume import Volume

BUILT_IN = "built-in"
STRIPPED = "already stripped"
CHOICES = (BUILT_IN, *TOOLS)

# Adult brains with their CSF have 0.9 to 1.9 litres; a part of one, or a child's, less.
_PLAUSIBLE_ML = (400.0, 2200.0)


@dataclass(frozen=True)
class Brain:
    """mask: (X, Y, Z) bool on the image's grid; source: who says so; doubt: why to look at it, or None."""

    mask: np.ndarray
    source: str
    doubt: str | None = None


def voted(found: Brain, others: list[np.ndarray], voxel_ml: float) -> Brain:
    """Return the brain that most sequences see; of two, what both see.

    Each contrast has something else that looks like brain: fat of the orbit, mucosa, muscle. others: (X, Y, Z) bool,
    what the other sequences see, on the grid of `found`; voxel_ml: volume of its voxels, mL.
    """
    if not others:
        return found
    mask = clean(np.mean([found.mask, *others], 0) > 0.5)
    return replace(found, mask=mask, doubt=_doubt(mask, voxel_ml))


def _doubt(mask: np.ndarray, voxel_ml: float) -> str | None:
    """Say why to look at a brain that was found, if its volume is none of a head."""
    millilitres = float(mask.sum()) * voxel_ml
    low, high = _PLAUSIBLE_ML
    if low <= millilitres <= high:
        return None
    part = " (a part may not have been scanned)" if millilitres < low else ""
    return (
        f"the brain that was found has {millilitres:.0f} mL; look at it{part}, or strip the skull beforehand"
    )


def check_choice(tool: str) -> None:
    """Raise `BrainMVPError` unless a tool is one of `CHOICES` and installed."""
    _check_known(tool)
    if tool != BUILT_IN:
        program_of(tool)


def _check_known(tool: str) -> None:
    if tool not in CHOICES:
        raise BrainMVPError(f"'{tool}' finds no brains here; use {', '.join(CHOICES)}.")


def find_brain(volume: Volume, tool: str = BUILT_IN) -> Brain:
    """Return where the brain is in an image of any sequence.

    A stripped image is recognised and left alone. tool: else who finds the brain, one of `CHOICES`. Raises
    `BrainMVPError` if the image shows nothing, or the tool is not installed or fails.
    """
    _check_known(tool)
    if is_stripped(volume):
        return Brain(foreground(volume), STRIPPED)
    find = brain_mask if tool == BUILT_IN else partial(by_tool, tool=tool)
    mask = find(volume)
    return Brain(mask, tool, _doubt(mask, volume.voxel_ml))
