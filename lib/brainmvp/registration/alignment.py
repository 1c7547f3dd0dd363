"""Put a sequence onto the reference, or say why that failed: only what is measured better is moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainmvp.registration.motion import angle_deg, displacement_mm, rigid
from brainmvp.registration.rigid import NoOverlapError, refine, register
from brainmvp.registration.similarity import Similarity
from brainmvp.registration.stretch import stretch
from brainmvp.sequences import Sequence
from brainmvp.volume import Volume

# Images on one grid were put there by somebody's registration, or by one scan: they have the benefit of the doubt.
_SAME_GRID_MM = 2.0
_OTHER_GRID_MM = 1.5
# From these disturbances the registration has to find back to itself (mm and degrees about each axis) …
_DISTURBANCES = (((6.0, -5.0, 5.0), (5.0, 4.0, -6.0)), ((-5.0, 6.0, -6.0), (-4.0, -6.0, 5.0)))
# … to within this, or the images do not determine it.
_AGREEMENT_MM = 2.5
# Measured: right registrations that are doubted end 4.6 and 5.7 mm apart, those of wrong heads 8 to 16 mm.
_LOOSE_MM = 7.0
# Similarity is measured on voxels of 4 mm; finer ones where the field of view has fewer than so many of them.
_SPACINGS = (2.0, 4.0)
_STEPS = 30
# Below this normalised mutual information two images have next to nothing in common.
_LEAST_SIMILARITY = 1.05
_LEAST_OVERLAP = 0.3
# One head scanned twice has one size. Measured: at most 0.014 in real pairs and 0.025 in made-up ones, 0.039 and more
# in wrong ones; made-up DWI of 4 mm, at 0.05, is doubted for nothing.
_SAME_SIZE = 0.03


@dataclass(frozen=True)
class Alignment:
    """How a sequence was put onto the reference.

    world: (4, 4), from the reference's world to the sequence's, RAS mm; the identity where nothing had to move;
    moved: whether it was registered; similarity_before, similarity: normalised mutual information under the headers
    and under `world`; overlap: share of the reference's head that the sequence covers; spread_mm: how far apart
    disturbed registrations end, at the head's surface; stretch: by which share the sequence would still have to grow
    or shrink in some direction; shift_mm: of the head's middle; brains_before, brains: Dice of the brains found in
    both, under the headers and under `world`, where they were measured; covers, covered: share of the reference's brain
    that the sequence was scanned over, and of the sequence's brain that the reference was, where they were measured;
    doubt: why it should not be trusted, or None.
    """

    world: np.ndarray
    moved: bool
    similarity_before: float
    similarity: float
    overlap: float
    shift_mm: float = 0.0
    turn_deg: float = 0.0
    spread_mm: float = 0.0
    stretch: float = 0.0
    brains_before: float | None = None
    brains: float | None = None
    covers: float | None = None
    covered: float | None = None
    doubt: str | None = None

    @property
    def loose(self) -> bool:
        """Whether it is in doubt by some millimetres only: it fits, covers enough, and needs no other size."""
        others = _doubt(self.similarity_before, self.similarity, self.overlap, 0.0, self.stretch)
        return _AGREEMENT_MM < self.spread_mm <= _LOOSE_MM and others is None

    def report(self) -> dict[str, Any]:
        """Return the alignment as JSON-ready values."""
        return {
            "moved": self.moved,
            "world_of_reference_to_world_of_sequence": self.world.tolist(),
            "shift_mm": round(self.shift_mm, 2),
            "turn_deg": round(self.turn_deg, 2),
            "similarity_before": round(self.similarity_before, 4),
            "similarity": round(self.similarity, 4),
            "overlap": round(self.overlap, 3),
            "spread_mm": round(self.spread_mm, 2),
            "stretch": round(self.stretch, 3),
            "brain_dice_before": None if self.brains_before is None else round(self.brains_before, 3),
            "brain_dice": None if self.brains is None else round(self.brains, 3),
            "covers_of_reference_brain": None if self.covers is None else round(self.covers, 3),
            "brain_covered_by_reference": None if self.covered is None else round(self.covered, 3),
            "doubt": self.doubt,
        }


def doubts(alignments: Mapping[Sequence, Alignment]) -> dict[Sequence, str]:
    """Return by sequence why those that are in doubt should not be trusted."""
    return {
        sequence: f"its alignment is doubtful: {alignment.doubt}"
        for sequence, alignment in alignments.items()
        if alignment.doubt is not None
    }


def align(moving: Volume, fixed: Volume, seed: int = 0) -> Alignment:
    """Return how `moving` lies on `fixed`: as its header says where the images agree with that, else registered.

    It is doubtful if `moving` covers too little of the head. So is a registration that fits no better than the headers,
    has too little in common, ends elsewhere when it starts some millimetres and degrees away, or would need another
    size.
    """
    extent = float((fixed.spacing * fixed.shape).min())
    fit = Similarity(fixed, moving, float(np.clip(extent / _STEPS, *_SPACINGS)), seed)
    still = np.eye(4)
    before = fit(still)
    tolerance = _SAME_GRID_MM if moving.same_grid(fixed) else _OTHER_GRID_MM
    if fit.distance_to_peak(still) <= tolerance and before >= _LEAST_SIMILARITY:
        overlap = fit.overlap(still)
        return Alignment(
            still, False, before, before, overlap, doubt=_doubt(before, before, overlap, 0.0, 0.0)
        )
    try:
        return _registered(moving, fixed, fit, before, seed)
    except NoOverlapError:
        doubt = "it could not be registered: the two have next to nothing in common"
        return Alignment(still, False, before, before, fit.overlap(still), doubt=doubt)


def _registered(moving: Volume, fixed: Volume, fit: Similarity, before: float, seed: int) -> Alignment:
    world = register(moving, fixed, seed)
    ends = [
        refine(moving, fixed, world @ rigid(np.array(s), np.array(t), fit.centre), seed)
        for s, t in _DISTURBANCES
    ]
    spread = max(displacement_mm(world, end, fit.centre, fit.radius) for end in ends)
    after, overlap = fit(world), fit.overlap(world)
    shift = float(np.linalg.norm(world[:3, :3] @ fit.centre + world[:3, 3] - fit.centre))
    size = stretch(moving, fixed, world, seed)
    doubt = _doubt(before, after, overlap, spread, size)
    return Alignment(world, True, before, after, overlap, shift, angle_deg(world), spread, size, doubt=doubt)


def _doubt(before: float, after: float, overlap: float, spread: float, size: float) -> str | None:
    if overlap < _LEAST_OVERLAP:
        return f"it shows only {overlap:.0%} of the reference's head"
    if after < _LEAST_SIMILARITY:
        return (
            f"it has next to nothing in common with the reference (normalised mutual information {after:.3f})"
        )
    if after < before:
        return "no registration fits better than the headers, and those do not fit"
    if spread > _AGREEMENT_MM:
        return f"registrations from slightly different starts end {spread:.1f} mm apart"
    if size > _SAME_SIZE:
        return f"it would have to be stretched by {size:.0%} to fit; it may be another patient's head"
    return None
