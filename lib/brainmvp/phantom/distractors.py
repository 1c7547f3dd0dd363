"""What is bright or dark in a brain and is not the disease that is looked for."""

from collections.abc import Callable

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.distortion import air_below
from brainmvp.phantom.draw import Draw, box_mean
from brainmvp.phantom.grid import BrainGrid, pick_points
from brainmvp.phantom.layers import Layer, ellipsoid, soft
from brainmvp.phantom.materials import blood, cavity, dura, gliosis, mineral, shine_through, stretched
from brainmvp.sequences import Sequence

_DIFFUSION = frozenset({Sequence.DWI})
_FLAIR = frozenset({Sequence.FLAIR})


def scatter(draw: Draw, grid: BrainGrid, tissue: Tensor, amount: float) -> list[Layer]:
    """Return layers of some distractors, in random strength; amount: 0…1, how likely each is."""
    layers = []
    for make, likelihood in _MAKERS:
        if draw.chance(likelihood * amount):
            layers += make(draw, grid, tissue)
    return layers


def _spots(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """White-matter lesions as in multiple sclerosis and small-vessel disease, more of them near the ventricles."""
    field = draw.smooth(grid, draw.uniform(4, 9)) + 0.5 * _near_ventricles(grid, tissue)
    mask = soft((draw.uniform(1.7, 2.8) - field) * 3.0, 1.0) * (tissue[WHITE] > 0.4)
    return [Layer(mask * draw.uniform(0.5, 1.0), gliosis(draw), 0.05)]


def _caps(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """Bright rims around the ventricles, from ageing or hydrocephalus."""
    mask = _near_ventricles(grid, tissue) * tissue[WHITE] * draw.uniform(0.5, 1.6)
    patches = (0.6 + 0.5 * draw.smooth(grid, 15.0)).clamp(0, 1)
    return [Layer((mask * patches).clamp(0, draw.uniform(0.4, 1.0)), gliosis(draw), 0.05)]


def _leukoaraiosis(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """Confluent bright white matter around the ventricles, from small-vessel disease: mostly 3 to 40 mL (14 to 77 in
    the worst grade of Fazekas, doi:10.1161/str.51.suppl_1.tp208)."""
    voxels = round(8.0 / grid.spacing)
    near = box_mean(box_mean(tissue[CSF] * (_deep(grid) > 0.45), voxels), voxels)
    patches = 0.3 * draw.smooth(grid, draw.uniform(8.0, 16.0)) + 0.1 * draw.smooth(grid, 4.0)
    least = draw.uniform(0.08, 0.28) * torch.exp(patches)
    mask = ((near / least - 1) * draw.uniform(1.0, 4.0) + 0.5).clamp(0, 1) * (tissue[WHITE] > 0.4)
    return [Layer(mask * draw.uniform(0.5, 1.0), gliosis(draw), 0.06)]


def old_infarct(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """A cavity with a gliotic rim: what an infarct leaves, and no longer an acute one."""
    centre = pick_points(tissue[WHITE] + tissue[GREY], grid.spacing, [draw.uniform(0, 1)])[0]
    radius = draw.log_uniform(3, 16)
    surface = ellipsoid(draw, grid, centre) - radius + 0.2 * radius * draw.smooth(grid, 8.0)
    brain = tissue.sum(0)
    rim = soft(surface - draw.uniform(1, 5), 2.0) * brain * draw.uniform(0.3, 1.0)
    return [Layer(rim, gliosis(draw), 0.05), Layer(soft(surface, 1.5) * brain, cavity(draw), 0.04)]


def _vessels(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """Thin curves: where two smooth fields are both near zero."""
    width = draw.uniform(0.05, 0.12)
    first, second = draw.smooth(grid, draw.uniform(14, 26), 2)
    curve = ((1.4 - (first.abs() + second.abs()) / width).clamp(0, 1)) * (tissue.sum(0) > 0.5)
    outer = (tissue[CSF] + 0.4 * tissue[GREY]).clamp(0, 1)
    return [Layer(curve * outer * draw.uniform(0.4, 1.0), blood(draw))]


def _meninges(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    shell = _shell(tissue, max(round(2.0 / grid.spacing), 1))
    patches = (draw.uniform(0.0, 0.5) + 0.5 * draw.smooth(grid, 16.0)).clamp(0, 1)
    return [Layer(shell * patches * draw.uniform(0.3, 0.9), dura(draw), 0.1)]


def _sinus(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """The sagittal sinus, along the midline at the top and the back."""
    x, y, z = grid.axes()
    shell = _shell(tissue, max(round(7.0 / grid.spacing), 1))
    band = torch.exp(-((x / draw.uniform(2.0, 3.5)) ** 2)) * ((z > 20) | (y < -55)).float()
    return [Layer(shell * band * draw.uniform(0.3, 1.0), blood(draw), 0.05)]


def _choroid(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """The choroid plexus, in the ventricles; it takes up the agent and may be cystic."""
    deep = (_deep(grid) > 0.5) & (tissue[CSF] > 0.5)
    mask = deep * soft((draw.uniform(0.7, 1.6) - draw.smooth(grid, 6.0)) * 3.0, 1.5)
    return [Layer(mask * draw.uniform(0.4, 1.0), dura(draw), 0.15)]


def _cortical_ribbon(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """Cortex that is bright in DWI and normal in ADC."""
    patches = (draw.smooth(grid, 22.0) - draw.uniform(0.0, 1.2)).clamp(0, 1)
    material = shine_through(draw)
    return [Layer(tissue[GREY] * patches * draw.uniform(0.2, 0.7), material, 0.05, only=_DIFFUSION)]


def _pile_up(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """Echo-planar imaging above the air of the frontal sinus and of the ears: signal piled up, and lost beside it.

    The piled-up signal is as bright as an infarct and as sharp, but lies at the surface, and its ADC is normal.
    """
    depth = draw.uniform(5.0, 12.0)
    near_air = air_below(grid) * _shell(tissue, max(round(depth / grid.spacing), 1))
    field = draw.smooth(grid, draw.uniform(8.0, 16.0))
    edge = draw.uniform(1.5, 5.0)
    piled = near_air * soft((draw.uniform(-0.4, 0.7) - field) * 6.0, edge)
    lost = near_air * soft((draw.uniform(0.6, 1.4) + field) * 6.0, edge)
    bright, dark = stretched(draw), mineral(draw)
    return [
        Layer((piled * draw.uniform(0.6, 1.2)).clamp(0, 1), bright, 0.15, 5.0, only=_DIFFUSION),
        Layer(lost * draw.uniform(0.3, 0.9), dark, 0.1, only=_DIFFUSION),
    ]


def _shine_through_spots(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    mask = soft((draw.uniform(1.8, 2.6) - draw.smooth(grid, draw.uniform(5, 12))) * 3.0, 1.5) * tissue[WHITE]
    return [Layer(mask * draw.uniform(0.4, 1.0), shine_through(draw), 0.05)]


def _pulsation(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """CSF that FLAIR does not null because it flows: near the foramina and in the cisterns."""
    x, _, z = grid.axes()
    place = torch.exp(-((x / 22.0) ** 2)) * torch.sigmoid((12.0 - z) / 6.0)
    patches = soft((draw.uniform(0.2, 1.2) - draw.smooth(grid, draw.uniform(6, 14))) * 3.0, 2.0)
    mask = tissue[CSF] * place * patches * draw.uniform(0.4, 1.0)
    return [Layer(mask, gliosis(draw), 0.1, only=_FLAIR)]


def _minerals(draw: Draw, grid: BrainGrid, tissue: Tensor) -> list[Layer]:
    """Calcification and old microbleeds, mostly deep."""
    mask = (
        soft((draw.uniform(1.8, 2.6) - draw.smooth(grid, 5.0)) * 3.0, 1.0)
        * (_deep(grid) > 0.3)
        * tissue.sum(0)
    )
    return [Layer(mask * draw.uniform(0.3, 0.9), mineral(draw), 0.05)]


def _deep(grid: BrainGrid) -> Tensor:
    """Return 1 in the middle of the brain, falling to 0 towards its surface."""
    x, y, z = grid.axes()
    return torch.exp(-((x / 38) ** 2)) * torch.exp(-(((y - 5) / 48) ** 2)) * torch.exp(-(((z - 8) / 34) ** 2))


def _near_ventricles(grid: BrainGrid, tissue: Tensor) -> Tensor:
    return box_mean(tissue[CSF] * (_deep(grid) > 0.45), round(4.0 / grid.spacing))


def _shell(tissue: Tensor, voxels: int) -> Tensor:
    """Return the outermost voxels of the brain, (X, Y, Z) of 0 and 1."""
    brain = tissue.sum(0) > 0.5
    return (box_mean((~brain).float(), voxels) > 1e-4) * brain.float()


_Maker = Callable[[Draw, BrainGrid, Tensor], list[Layer]]
_MAKERS: tuple[tuple[_Maker, float], ...] = (
    (_spots, 0.55),
    (_caps, 0.5),
    (_leukoaraiosis, 0.22),
    (old_infarct, 0.2),
    (_vessels, 0.6),
    (_meninges, 0.5),
    (_sinus, 0.5),
    (_choroid, 0.5),
    (_cortical_ribbon, 0.4),
    (_pile_up, 0.7),
    (_shine_through_spots, 0.3),
    (_pulsation, 0.3),
    (_minerals, 0.25),
)
