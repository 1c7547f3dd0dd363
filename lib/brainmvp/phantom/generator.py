"""Put the parts together: one seed, one phantom."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from brainmvp.phantom import distractors, stroke, tumour
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
    atrophy = draw.uniform(0, 1) ** 2 if disease == "tumour" else draw.uniform(0, 1)
    warp = Warp(draw, grid, anatomy, atrophy)

    plan = None
    if disease == "tumour":
        seeds = anatomy.tissue[WHITE] + 0.25 * anatomy.tissue[GREY]
        points = pick_points(seeds, anatomy.spacing, [draw.uniform(0, 1) for _ in range(6)])
        plan = tumour.TumourPlan.drawn(draw, [warp.destination(point) for point in points], difficulty)
        if draw.chance(0.7):
            for centre, radius in plan.foci[:2]:
                warp.push(Pull(centre, radius * draw.uniform(1.2, 2.2), draw.uniform(0.1, 0.6)))
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
        own, found = stroke.grow(draw, grid, tissue, grey, difficulty, large=task == "tumour")
    else:
        own, found = [], labels
    layers = [layer.at_field(strength) for layer in layers] + own
    if disease == task:
        labels = found

    bent = Distortion(draw, grid) if draw.chance(0.5 * difficulty) else None
    if bent and task == "stroke" and set(BENT) & set(sequences):  # on which its labels are drawn
        labels = bent.labels(labels)
    images = {}
    for sequence in sequences:
        shown = None if sequence is odd else real.get(sequence)
        image = _contrast(
            draw, grid, sequence, tissue, shown, (grey, white, csf), layers, odd=sequence is odd
        )
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
    layers: list[Layer],
    odd: bool,
) -> Tensor:
    """Return the signal of one sequence (X, Y, Z), before the scanner's flaws; odd: of a contrast of no scanner."""
    protocol = Protocol.drawn(sequence, draw)
    physical = [signal(material, protocol) for material in materials]
    if real is not None:
        image = _vary(draw, real)
        levels = [float((part * image).sum() / part.sum().clamp_min(1)) for part in tissue]
    else:
        if odd or draw.chance(0.5):
            levels = list(random_tissue_levels(sequence, draw, odd))
            if sequence is Sequence.T1CE:
                levels[GREY] += draw.uniform(0, 0.12)
        else:
            levels = [value / max(physical[WHITE], 0.05) for value in physical]
        image = torch.einsum("t,txyz->xyz", torch.tensor(levels), tissue)
        image = image * (1 + draw.uniform(0.01, 0.05) * draw.smooth(grid, draw.uniform(2.5, 5)))
    for layer in layers:
        if layer.only is None or sequence in layer.only:
            level = carry_over(signal(layer.material, protocol), physical, levels, sequence)
            reference = levels[GREY]
            level = reference + (level - reference) * _prominence(draw, sequence, layer)
            image = _over(draw, grid, image, layer, max(level, 0.02))
    return image.clamp_min(0)


def _prominence(draw: Draw, sequence: Sequence, layer: Layer) -> float:
    """Return what a lesion's contrast is multiplied by: no two lesions of a kind look the same.

    It varies by about a third; and one in eight is faint, but for the sequences that its outline is drawn on.
    """
    if sequence not in layer.clear_on and draw.chance(0.12):
        return draw.uniform(0.1, 0.6)
    # By the equations oedema is half as bright again in FLAIR as in the two BraTS scans that it was compared with.
    usual = -0.2 if sequence is Sequence.FLAIR else 0.0
    return float(np.exp(usual + draw.normal(0.33)))


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
