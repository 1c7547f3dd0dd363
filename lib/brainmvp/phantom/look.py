"""How healthy tissue and the layers over it look in one sequence: by the equations, in a real image, or by chance."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from brainmvp.phantom.anatomy import GREY, WHITE
from brainmvp.phantom.contrast import Protocol, carry_over, random_tissue_levels, signal
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid
from brainmvp.phantom.layers import Layer
from brainmvp.phantom.materials import Material
from brainmvp.sequences import Sequence

# The lowest ADC of a lesion, 1e-3 mm²/s (judged: infarcts are above 0.3).
_LEAST = {Sequence.ADC: 0.2}
# Real images carry no negative values, and normalised ones reach down to about -0.3.
_REAL_OFFSET = 0.35


@dataclass(frozen=True)
class Look:
    """The contrast of one sequence.

    protocol: of the scanner; levels: of grey matter, white matter and CSF in a made-up image (the protocol's where
    None); gamma: of a real image; offsets: what is added to each tissue of one, whose middle spans 1.
    """

    protocol: Protocol
    levels: tuple[float, float, float] | None
    gamma: float
    offsets: tuple[float, float, float]

    @classmethod
    def drawn(cls, sequence: Sequence, draw: Draw, odd: bool) -> "Look":
        """Return the look of a sequence; odd: a contrast of no scanner."""
        protocol = Protocol.drawn(sequence, draw)
        by_chance = sequence is not Sequence.ADC and (odd or draw.chance(0.5))  # ADC has units
        levels = random_tissue_levels(sequence, draw, odd) if by_chance else None
        gamma = float(np.exp(draw.normal(0.22)))
        grey, white, csf = (draw.uniform(-0.1, 0.1) for _ in range(3))
        return cls(protocol, levels, gamma, (grey, white, csf))

    def after_contrast(self, draw: Draw) -> "Look":
        """Return the look of T1CE, scanned as this T1 was: the agent makes cortex a little brighter."""
        levels = self.levels
        if levels:
            levels = (levels[GREY] + draw.uniform(0, 0.12), *levels[1:])
        return replace(self, protocol=replace(self.protocol, sequence=Sequence.T1CE), levels=levels)

    def of_real(self, image: Tensor, tissue: Tensor) -> tuple[Tensor, list[float]]:
        """Return a real image (percentiles 5 and 95 at 0 and 1) in another contrast, from 0 upwards, and the levels of
        its tissues (3, X, Y, Z)."""
        lifted = ((image + 1.0) / 2.5).clamp_min(1e-3) ** self.gamma
        moved = torch.einsum("t,txyz->xyz", torch.tensor(self.offsets), tissue)
        image = (lifted * 2.5 - 1.0 + _REAL_OFFSET + moved).clamp_min(0)
        return image, [float((part * image).sum() / part.sum().clamp_min(1)) for part in tissue]

    def of_tissue(
        self, draw: Draw, grid: BrainGrid, tissue: Tensor, physical: list[float]
    ) -> tuple[Tensor, list[float]]:
        """Return an image of tissue maps (3, X, Y, Z), and its levels; physical: those of the equations."""
        if self.protocol.sequence is Sequence.ADC:
            levels = physical
        elif self.levels:
            levels = list(self.levels)
        else:
            levels = [value / max(physical[WHITE], 0.05) for value in physical]
        image = torch.einsum("t,txyz->xyz", torch.tensor(levels), tissue)
        return image * (1 + draw.uniform(0.01, 0.05) * draw.smooth(grid, draw.uniform(2.5, 5))), levels


def render(
    draw: Draw,
    grid: BrainGrid,
    look: Look,
    tissue: Tensor,
    real: Tensor | None,
    materials: tuple[Material, Material, Material],
    layers: list[tuple[Layer, dict[Sequence, float]]],
    gain: Tensor | None,
) -> Tensor:
    """Return the signal of one sequence (X, Y, Z), before the scanner's flaws.

    real: a patient's image to start from; layers: each with its prominence in each sequence; gain: by which share
    healthy tissue is brighter.
    """
    protocol, sequence = look.protocol, look.protocol.sequence
    physical = [signal(material, protocol) for material in materials]
    if real is not None:
        image, levels = look.of_real(real, tissue)
    else:
        image, levels = look.of_tissue(draw, grid, tissue, physical)
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


def _over(draw: Draw, grid: BrainGrid, image: Tensor, layer: Layer, level: float) -> Tensor:
    if layer.texture:
        target = level * (1 + layer.texture * draw.smooth(grid, layer.texture_mm))
        return image + layer.mask * (target - image)
    return torch.lerp(image, torch.full((), level), layer.mask)
