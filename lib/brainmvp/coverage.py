"""How much of the head in one image another one was scanned over, and whether a scan cuts a finding."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from brainmvp.brain import find_brain
from brainmvp.brain.stripped import is_stripped
from brainmvp.foreground import background_value, foreground
from brainmvp.registration import Alignment
from brainmvp.sequences import Sequence
from brainmvp.spatial import extent
from brainmvp.volume import Volume

# What to say of a finding that is cut.
CUT = "the finding touches the edge of the scan: its volume is a lower bound"
# With this share all counts as there: fields of view differ by a slice, alignments by a millimetre.
ENOUGH = 0.95
# With this share of the head in view, no more than a sliver of the brain can be missing.
_WHOLE_HEAD = 0.99
# A brain ends within a scan if up to so far from every edge (mm) it is no wider than this share of its widest section.
# Of a brain that is cut the network finds what ends some mm before the edge: in two made-up heads with 90 to 97 % of
# their brain in view it had 5 % or more of its widest section up to 8 mm from there.
_NEAR_EDGE = 10.0
_NARROW = 0.05
# So many voxels tell a share.
_VOXELS = 50_000
# A result can end so far before the edge of the scan, mm: it comes from a coarser grid.
_RIM = 2.0
# What ends within a slice of thickness h, as an ellipsoid of half the length c does, shows there at most 2 h / c of its
# largest section: seven stripped brains 2.1 h / c at most. With twice that, it is cut.
_CUT = 4.0


def share_inside(mask: Volume, other: Volume, world: np.ndarray) -> float:
    """Return the share of a mask (X, Y, Z) bool that lies where another image was scanned; 1 where it is empty.

    world: (4, 4), from the mask's world to the image's, mm.
    """
    count = np.count_nonzero(mask.data)
    if not count:
        return 1.0
    step = max(int((count / _VOXELS) ** (1 / 3)), 1)  # along each axis
    index = np.argwhere(mask.data[::step, ::step, ::step]) * step
    to_other = np.linalg.inv(other.affine) @ world @ mask.affine
    places = index @ to_other[:3, :3].T + to_other[:3, 3]
    low, high = np.array(_scanned(other)).T
    return float(((places > low - 0.5) & (places < high + 0.5)).all(1).mean())


def brain_inside(image: Volume, other: Volume, world: np.ndarray, brain: np.ndarray | None = None) -> float:
    """Return the share of the brain in an image that lies where another one was scanned.

    world: (4, 4), from the image's world to the other's, mm; brain: (X, Y, Z) bool on the image's grid; None: it is
    looked for where the other lacks a part of the head, which may be the neck.
    """
    if brain is None:
        head = share_inside(Volume(foreground(image), image.affine), other, world)
        if head >= _WHOLE_HEAD:
            return head
        brain = find_brain(image).mask
    return share_inside(Volume(brain, image.affine), other, world)


def with_coverage(
    alignments: Mapping[Sequence, Alignment],
    volumes: Mapping[Sequence, Volume],
    fixed: Volume,
    brain: np.ndarray,
    own: Mapping[Sequence, np.ndarray],
) -> dict[Sequence, Alignment]:
    """Return alignments with the shares of either brain that the other image was scanned over, but for doubtful ones.

    brain, own: (X, Y, Z) bool, of `fixed` and of the sequences' images; one that `own` lacks is looked for where
    `fixed` may not show all of the brain, else its share is not measured.
    """
    may_go_on, found = bool(alignments) and _may_go_on(brain, fixed), dict(alignments)
    for sequence, alignment in alignments.items():
        if alignment.doubt:
            continue
        moving, world, covered = volumes[sequence], alignment.world, None
        if sequence in own or may_go_on:
            covered = brain_inside(moving, fixed, np.linalg.inv(world), own.get(sequence))
        found[sequence] = replace(
            alignment, covers=brain_inside(fixed, moving, world, brain), covered=covered
        )
    return found


def is_cut(marked: np.ndarray, image: Volume) -> bool:
    """Tell whether a finding, (X, Y, Z) bool on the image's grid, reaches the edge of what was scanned.

    The surface of a stripped brain is no such edge, though images are cropped to it.
    """
    brain = None
    for axis, (low, high) in enumerate(_scanned(image)):
        slices = np.flatnonzero(marked.any(axis=tuple({0, 1, 2} - {axis})))
        rim = max(int(_RIM / image.spacing[axis]), 1)
        for edge, reached in ((low, (slices < low + rim).any()), (high, (slices > high - rim).any())):
            if not reached:
                continue
            if brain is None:
                brain = foreground(image) if is_stripped(image) else np.ones(image.shape, bool)
            areas = brain.sum(axis=tuple({0, 1, 2} - {axis}))
            if areas[edge] > min(_CUT * 2 / (high - low + 1), 0.5) * areas.max():
                return True
    return False


def _may_go_on(brain: np.ndarray, image: Volume) -> bool:
    """Tell whether a brain, (X, Y, Z) bool on the image's grid, may go on where nothing was scanned."""
    for axis, (low, high) in enumerate(_scanned(image)):
        areas = brain.sum(axis=tuple({0, 1, 2} - {axis}))
        rim = max(int(_NEAR_EDGE / image.spacing[axis]), 1)
        near = max(areas[low : low + rim].max(), areas[max(high + 1 - rim, 0) : high + 1].max())
        if near > _NARROW * areas.max():
            return True
    return False


def _scanned(image: Volume) -> list[tuple[int, int]]:
    """Return the first and last voxel along each axis that was scanned: what lies beyond is filled with one value."""
    if background_value(image.data) is None:
        return [(0, size - 1) for size in image.shape]
    return extent(foreground(image))
