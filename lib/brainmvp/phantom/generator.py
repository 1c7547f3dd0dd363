"""Put the parts together: one seed, one phantom."""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from brainmvp.phantom import distractors, regions, stroke, tumour
from brainmvp.phantom.acquisition import acquire
from brainmvp.phantom.anatomy import GREY, WHITE, Anatomy, load_anatomies
from brainmvp.phantom.contrast import Protocol, carry_over, random_tissue_levels, signal
from brainmvp.phantom.deform import Pull, Warp, individual_tissue
from brainmvp.phantom.distortion import BENT, Distortion
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid, pick_points
from brainmvp.phantom.layers import Layer
from brainmvp.phantom.materials import Material, gliosis, healthy
from brainmvp.sequences import Sequence

Disease = Literal["tumour", "stroke", "healthy"]

# What a phantom of a task has: mostly its disease; the rest teaches what to leave alone.
_MIX: dict[str, dict[Disease, float]] = {
    "tumour": {"tumour": 0.66, "stroke": 0.14, "healthy": 0.20},
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
# The lowest ADC of a lesion, 1e-3 mm²/s (judged: infarcts are above 0.3).
_LEAST = {Sequence.ADC: 0.2}
# Real images carry no negative values, and normalised ones reach down to about -0.3.
_REAL_OFFSET = 0.35


@dataclass(frozen=True)
class Phantom:
    """A made-up patient.

    images: (X, Y, Z) float32 by sequence, 0 and above, zero outside the brain or where not scanned; labels:
    (X, Y, Z) uint8 with the task's values; brain: (X, Y, Z) bool; affine: (4, 4), RAS mm; facts: what was drawn.
    """

    images: dict[Sequence, Tensor]
    labels: Tensor
    brain: Tensor
    affine: np.ndarray
    task: str
    facts: dict[str, Any] = field(default_factory=dict)


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
    atrophy = draw.uniform(0, 1) ** 1.5  # whatever the disease: it must not tell which one it is
    warp = Warp(draw, grid, anatomy, atrophy)

    plan = None
    if disease == "tumour":
        seeds = anatomy.tissue[WHITE] + 0.25 * anatomy.tissue[GREY]
        points = pick_points(seeds, anatomy.spacing, [draw.uniform(0, 1) for _ in range(6)])
        plan = tumour.TumourPlan.drawn(draw, [warp.destination(point) for point in points], difficulty)
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
    layers = _background(draw, grid, tissue, own_lesions, difficulty)
    labels = torch.zeros(grid.shape, dtype=torch.uint8)
    if plan is not None:
        grown, found = tumour.grow(draw, grid, tissue, anatomical, plan)
        own = [layer.at_field(strength) for layer in grown]
    elif disease == "stroke":
        own, found = stroke.grow(
            draw, grid, tissue, anatomical, grey, difficulty, large=large_stroke, swollen=swollen
        )
    else:
        own, found = [], labels
    in_field = [layer.at_field(strength) for layer in layers]
    layers = [(layer, _prominence(draw, layer)) for layer in in_field + own]
    if disease == task:
        labels = found

    bent = Distortion(draw, grid) if draw.chance(0.5 * difficulty) else None
    if bent and task == "stroke" and set(BENT) & set(sequences):  # on which its labels are drawn
        labels = bent.labels(labels)
    bright = regions.brighter(draw, grid, tissue, warp.destination)
    gains = {Sequence.FLAIR: bright} | {s: draw.uniform(0, 0.7) * bright for s in (Sequence.T2, Sequence.DWI)}
    images = {}
    for sequence in sequences:
        shown = None if sequence is odd else real.get(sequence)
        image = _contrast(
            draw, grid, sequence, tissue, shown, (grey, white, csf), layers, gains.get(sequence),
            odd=sequence is odd,
        )  # fmt: skip
        if bent and sequence in BENT:
            image = bent.image(image)
        image, covered = acquire(draw, grid, image, brain, difficulty, shaded=sequence is not Sequence.ADC)
        images[sequence] = image * _scale(draw, sequence)
        if task == "stroke" and sequence is Sequence.DWI:  # on which infarcts are drawn
            labels = labels * covered
    facts = {
        "seed": seed, "anatomy": anatomy.name, "disease": disease, "difficulty": difficulty, "layers": len(layers)
    }  # fmt: skip
    if plan is not None:
        facts |= {"kind": plan.kind, "radii_mm": [round(radius, 1) for _, radius in plan.foci]}
    return Phantom(images, labels, brain, grid.affine, task, facts)


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
    if anatomy.lesions is None:
        return tissue, real, None
    return tissue, real, moved[-1]


def _background(
    draw: Draw, grid: BrainGrid, tissue: Tensor, own_lesions: Tensor | None, difficulty: float
) -> list[Layer]:
    layers = distractors.scatter(draw, grid, tissue, draw.uniform(0.3, 0.6) + 0.5 * difficulty)
    if own_lesions is not None and draw.chance(0.8):
        # The real channels show the patient's lesions already; made-up channels have to show them too.
        made_up = frozenset({Sequence.DWI, Sequence.ADC, Sequence.PD, Sequence.MRA})
        layers.append(Layer(own_lesions.clamp(0, 1), gliosis(draw), 0.05, only=made_up))
    return layers


def _contrast(
    draw: Draw,
    grid: BrainGrid,
    sequence: Sequence,
    tissue: Tensor,
    real: Tensor | None,
    materials: tuple[Material, Material, Material],
    layers: list[tuple[Layer, dict[Sequence, float]]],
    gain: Tensor | None,
    odd: bool,
) -> Tensor:
    """Return the signal of one sequence (X, Y, Z), before the scanner's flaws.

    layers: each with its prominence; gain: by which share healthy tissue is brighter; odd: of a contrast of no scanner.
    """
    protocol = Protocol.drawn(sequence, draw)
    physical = [signal(material, protocol) for material in materials]
    if real is not None:
        image = _vary(draw, real)
        levels = [float((part * image).sum() / part.sum().clamp_min(1)) for part in tissue]
    else:
        if sequence is Sequence.ADC:  # which has units
            levels = physical
        elif odd or draw.chance(0.5):
            levels = list(random_tissue_levels(sequence, draw, odd))
            if sequence is Sequence.T1CE:
                levels[GREY] += draw.uniform(0, 0.12)
        else:
            levels = [value / max(physical[WHITE], 0.05) for value in physical]
        image = torch.einsum("t,txyz->xyz", torch.tensor(levels), tissue)
        image = image * (1 + draw.uniform(0.01, 0.05) * draw.smooth(grid, draw.uniform(2.5, 5)))
    if gain is not None:
        image = image * (1 + gain)
    reference = levels[GREY]
    for layer, prominence in layers:
        if layer.only is None or sequence in layer.only:
            level = carry_over(signal(layer.material, protocol), physical, levels, sequence)
            level = reference + (level - reference) * prominence[sequence]
            least = layer.least_dwi * reference if sequence is Sequence.DWI else _LEAST.get(sequence, 0.02)
            image = _over(draw, grid, image, layer, max(level, least))
    return image.clamp_min(0)


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


def _vary(draw: Draw, real: Tensor) -> Tensor:
    """Return a real image (percentiles 5 and 95 at 0 and 1) with another gamma, from 0 upwards."""
    lifted = ((real + 1.0) / 2.5).clamp_min(1e-3) ** float(np.exp(draw.normal(0.22)))
    return (lifted * 2.5 - 1.0 + _REAL_OFFSET).clamp_min(0)


def _over(draw: Draw, grid: BrainGrid, image: Tensor, layer: Layer, level: float) -> Tensor:
    if layer.texture:
        target = level * (1 + layer.texture * draw.smooth(grid, layer.texture_mm))
        return image + layer.mask * (target - image)
    return torch.lerp(image, torch.full((), level), layer.mask)


def _scale(draw: Draw, sequence: Sequence) -> float:
    """Return scanner units per unit of signal; ADC maps come in 1e-3 or 1e-6 mm²/s."""
    if sequence is Sequence.ADC:
        return draw.choice((1.0, 1000.0))
    return draw.log_uniform(150, 1500)
