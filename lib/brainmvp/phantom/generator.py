"""Put the parts together: one seed, one phantom."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from brainmvp.intensity import normalise
from brainmvp.phantom import distractors, regions, stroke, tumour
from brainmvp.phantom.acquisition import Slices, acquire
from brainmvp.phantom.anatomy import GREY, WHITE, Anatomy, load_anatomies
from brainmvp.phantom.deform import Pull, Warp, individual_tissue, shrunken
from brainmvp.phantom.distortion import ECHO_PLANAR, Distortion
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid, pick_points
from brainmvp.phantom.layers import Layer
from brainmvp.phantom.look import Look, render
from brainmvp.phantom.materials import gliosis, healthy
from brainmvp.sequences import Sequence

Disease = Literal["tumour", "stroke", "healthy"]

# What a phantom of a task has: mostly its disease; the rest teaches what to leave alone.
_MIX: dict[str, dict[Disease, float]] = {
    "tumour": {"tumour": 0.60, "stroke": 0.22, "healthy": 0.18},
    "stroke": {"stroke": 0.80, "tumour": 0.08, "healthy": 0.12},
}
# One of this share's sequences has a contrast of no scanner, and half of these phantoms are healthy: what is odd
# everywhere is no lesion.
_ODD = 0.10
# Half of the large strokes among tumours are some days old, and so more like one.
_SUBACUTE = 0.5
# Sequences that show a lesion by the same property: what is bright in T1 before the agent is so after it.
_ALIKE = (
    (Sequence.T1, Sequence.T1CE), (Sequence.T2,), (Sequence.FLAIR,), (Sequence.PD,), (Sequence.DWI, Sequence.ADC),
    (Sequence.MRA,),
)  # fmt: skip
# The share of real brains whose images are made anew from their tissue maps: three patients are few contrasts.
_ANEW = 0.35
# The share of studies whose T1 was scanned with the same settings before and after the agent.
_PAIRED = 0.75


@dataclass(frozen=True)
class Phantom:
    """A made-up patient.

    images: (X, Y, Z) float32 by sequence, 0 and above, zero outside the brain or where not scanned; labels:
    (X, Y, Z) uint8 with the task's values; brain: (X, Y, Z) bool; affine: (4, 4), RAS mm; facts: what was drawn: seed,
    anatomy, disease, atrophy (0…1), of a lesion its kind, and of a stroke its adc_ratio (see `stroke.grow`).
    """

    images: dict[Sequence, Tensor]
    labels: Tensor
    brain: Tensor
    affine: np.ndarray
    facts: dict[str, Any]

    def normalised(self, sequence: Sequence) -> Tensor:
        """Return an image as models see it (see `normalise`), by those voxels of the brain that were scanned."""
        image = self.images[sequence]
        return normalise(image, self.brain & (image > 0), sequence)


def make_phantom(
    seed: int,
    task: str,
    *,
    spacing: float = 2.0,
    difficulty: float = 1.0,
    anatomies: list[Anatomy] | None = None,
    sequences: tuple[Sequence, ...] = tuple(Sequence),
    disease: Disease | None = None,
) -> Phantom:
    """Return the phantom of a seed.

    task: whose labels it carries, `tumour` or `stroke`; spacing: mm, whole; difficulty: 0 (clear pictures, lesions
    of 9 mm and more, few distractors) to 1 (everything); anatomies: brains of the same spacing to start from, else
    the MNI152 atlas; sequences: which to make; disease: else drawn, mostly that of the task.
    """
    draw = Draw(seed)
    grid = BrainGrid(spacing)
    anatomy = _pick_anatomy(draw, anatomies or _atlas_only(spacing))
    odd = draw.choice(sequences) if draw.chance(_ODD) else None
    if disease is None:
        mix = _MIX[task]
        healthy_one = odd is not None and draw.chance(0.5)
        disease = "healthy" if healthy_one else draw.choice(list(mix), list(mix.values()))
    atrophy = draw.uniform(0, 1)  # whatever the disease: it must not tell which one it is
    warp = Warp(draw, grid, anatomy, atrophy)

    plan = None
    if disease == "tumour":
        seeds = anatomy.tissue[WHITE] + 0.25 * anatomy.tissue[GREY]
        points = pick_points(seeds, anatomy.spacing, [draw.uniform(0, 1) for _ in range(6)])
        plan = tumour.TumourPlan.drawn(draw, points, difficulty, warp.destination)
        if plan.kind == "none" or draw.chance(0.7):
            for centre, radius in plan.foci[:2]:
                warp.push(Pull(centre, radius * draw.uniform(1.2, 2.2), draw.uniform(0.1, 0.6)))
    swollen = None
    large_stroke = disease == "stroke" and task == "tumour"
    if large_stroke and draw.chance(_SUBACUTE):
        (point,) = pick_points(anatomy.tissue[: WHITE + 1].sum(0), anatomy.spacing, [draw.uniform(0, 1)])
        swollen = warp.destination(point)
        warp.push(Pull(swollen, draw.uniform(20, 45), draw.uniform(0.03, 0.15)))
    anatomical = warp.source()
    tissue, real, own_lesions = _warped(draw, grid, warp, anatomical, anatomy, atrophy)
    brain = tissue.sum(0) > 0.5

    strength = draw.uniform(0, 1)
    grey, white, csf = healthy(draw, strength)
    layers = _background(draw, grid, tissue, own_lesions, frozenset(real), difficulty)
    labels = torch.zeros(grid.shape, dtype=torch.uint8)
    facts = {"seed": seed, "anatomy": anatomy.name, "disease": disease, "atrophy": atrophy}
    if plan is not None:
        grown, found = tumour.grow(draw, grid, tissue, anatomical, plan)
        own = [layer.at_field(strength) for layer in grown]
        facts["kind"] = plan.kind
    elif disease == "stroke":
        own, found, drawn = stroke.grow(
            draw, grid, tissue, anatomical, grey, difficulty, field=strength, large=large_stroke, swollen=swollen
        )  # fmt: skip
        facts |= drawn
    else:
        own, found = [], labels
    in_field = [layer.at_field(strength) for layer in layers]
    layers = [(layer, _prominence(draw, layer)) for layer in in_field + own]
    if disease == task:
        labels = found

    pair = draw.chance(_PAIRED)
    thick = Slices.drawn(draw, difficulty)
    bent = Distortion(draw, grid) if draw.chance(0.5 * difficulty) else None
    if bent and task == "stroke" and set(ECHO_PLANAR) & set(sequences):  # on which its labels are drawn
        labels = bent.labels(labels)
    bright = regions.brighter(draw, grid, tissue, warp.destination)
    gains = {Sequence.FLAIR: bright} | {s: draw.uniform(0, 0.7) * bright for s in (Sequence.T2, Sequence.DWI)}
    images = {}
    for sequence in sequences:
        # Drawn apart, so that a sequence looks the same whichever others are asked for.
        own_draw = draw.part(sequence.value)
        scan = draw.part("diffusion" if sequence in ECHO_PLANAR else f"scan {sequence.value}")
        look = _look(draw, sequence, odd, pair)
        shown = None if sequence is odd else real.get(sequence)
        image = render(own_draw, grid, look, tissue, shown, (grey, white, csf), layers, gains.get(sequence))
        if bent and sequence in ECHO_PLANAR:
            image = bent.image(image)
        image, covered = acquire(
            own_draw, grid, image, brain, difficulty, scan=scan, shaded=sequence is not Sequence.ADC,
            slices=thick if thick and thick.has(sequence, scan) else None,
            in_place=task == "stroke" and sequence in ECHO_PLANAR,
        )  # fmt: skip
        images[sequence] = image * _scale(own_draw, sequence)
        if task == "stroke" and sequence is Sequence.DWI:  # on which infarcts are drawn
            labels = labels * covered
    return Phantom(images, labels, brain, grid.affine, facts)


@lru_cache(maxsize=2)
def _atlas_only(spacing: float) -> list[Anatomy]:
    return load_anatomies(spacing)


def _pick_anatomy(draw: Draw, anatomies: list[Anatomy]) -> Anatomy:
    """Return the atlas in two of five cases, else a patient."""
    patients = [anatomy for anatomy in anatomies if not anatomy.is_average]
    averages = [anatomy for anatomy in anatomies if anatomy.is_average]
    if not patients or (averages and draw.chance(0.4)):
        return draw.choice(averages)
    return draw.choice(patients)


def _warped(
    draw: Draw, grid: BrainGrid, warp: Warp, anatomical: Tensor, anatomy: Anatomy, atrophy: float
) -> tuple[Tensor, dict[Sequence, Tensor], Tensor | None]:
    """Return tissue (3, X, Y, Z), real images by sequence, and the patient's own lesions, all on the grid."""
    channels = [*anatomy.tissue, *anatomy.images.values()]
    if anatomy.lesions is not None:
        channels.append(anatomy.lesions)
    moved = warp.apply(torch.stack(channels), anatomical)
    tissue = moved[:3]
    if anatomy.is_average:
        return individual_tissue(tissue, draw, grid, atrophy), {}, None
    real = dict(zip(anatomy.images, moved[3:], strict=False))
    lesions = None if anatomy.lesions is None else moved[-1]
    if draw.chance(_ANEW):
        return shrunken(tissue, atrophy), {}, lesions
    return tissue, real, lesions


def _background(
    draw: Draw,
    grid: BrainGrid,
    tissue: Tensor,
    own_lesions: Tensor | None,
    real: frozenset[Sequence],
    difficulty: float,
) -> list[Layer]:
    """Return the distractors, and the patient's own lesions, which the real channels show already."""
    layers = distractors.scatter(draw, grid, tissue, draw.uniform(0.3, 0.6) + 0.5 * difficulty)
    if own_lesions is not None and draw.chance(0.8):
        made_up = frozenset(Sequence) - real
        layers.append(Layer(own_lesions.clamp(0, 1), gliosis(draw), 0.05, only=made_up))
    return layers


def _look(draw: Draw, sequence: Sequence, odd: Sequence | None, pair: bool) -> Look:
    """Return how a sequence looks; pair: T1CE is scanned as T1 was."""
    own_draw = draw.part(f"look {sequence.value}")
    if sequence is Sequence.T1CE and sequence is not odd:
        before = Sequence.T1 if pair and odd is not Sequence.T1 else Sequence.T1CE
        return Look.drawn(before, draw.part(f"look {before.value}"), odd=False).after_contrast(own_draw)
    return Look.drawn(sequence, own_draw, odd=sequence is odd)


def _prominence(draw: Draw, layer: Layer) -> dict[Sequence, float]:
    """Return what a lesion's contrast is multiplied by in each sequence: no two lesions of a kind look the same.

    It varies by about a third, and alike in images of one kind; one in eight is faint, but for the sequences that its
    outline is drawn on.
    """
    factors = {}
    for alike in _ALIKE:
        faint = draw.chance(0.12) and not layer.clear_on.intersection(alike)
        factor = draw.uniform(0.1, 0.6) if faint else math.exp(draw.normal(0.33))
        factors |= dict.fromkeys(alike, factor)
    return factors


def _scale(draw: Draw, sequence: Sequence) -> float:
    """Return scanner units per unit of signal; ADC maps come in 1e-3 or 1e-6 mm²/s."""
    if sequence is Sequence.ADC:
        return draw.choice((1.0, 1000.0))
    return draw.log_uniform(150, 1500)
