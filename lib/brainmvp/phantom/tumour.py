"""Tumours: necrosis within an enhancing rim within oedema, and the other ways that they look."""

from dataclasses import dataclass

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid, Point
from brainmvp.phantom.layers import Layer, ellipsoid, soft
from brainmvp.phantom.materials import enhancing_tumour, necrosis, oedema, solid_tumour
from brainmvp.phantom.paths import detour

NECROSIS, OEDEMA, ENHANCING = 1, 2, 3

# Ring-enhancing, solid enhancing, without enhancement, patchy enhancement.
_KINDS = ("ring", "solid", "none", "patchy")
_KIND_WEIGHTS = (0.60, 0.14, 0.13, 0.13)
# Where children's tumours grow, mm from the middle of the brain's box: x to the right, y to the front, z up.
_PONS, _THALAMUS, _CEREBELLUM = (0.0, -8.0, -42.0), (9.0, -2.0, 2.0), (4.0, -42.0, -42.0)
# A tumour as near as this to the midline may have crossed the corpus callosum (a butterfly glioma), mm.
_BUTTERFLY_MM = 22.0
# A rim thinner than this would not be seen on the grid that the models work on, mm.
_THINNEST_RIM_MM = 2.2


@dataclass(frozen=True)
class TumourPlan:
    """What is decided before the brain is warped: each focus has a centre and a radius, mm."""

    kind: str
    foci: tuple[tuple[Point, float], ...]

    @classmethod
    def drawn(cls, draw: Draw, centres: list[Point], difficulty: float) -> "TumourPlan":
        """Return a glioma with up to two satellites, metastases or a child's tumour.

        centres: at least six, in the order in which they are used; difficulty: 0…1 allows smaller ones.
        """
        if draw.chance(0.07):
            return cls._of_a_child(draw)
        if draw.chance(0.06 + 0.08 * difficulty):
            count = draw.integer(1, min(len(centres), 6))
            kind = draw.choice(("ring", "solid"))
            return cls(kind, tuple((c, draw.log_uniform(4.0, 11.0)) for c in centres[:count]))
        kind = draw.choice(_KINDS, _KIND_WEIGHTS)
        main, radius = centres[0], draw.log_uniform(9.5 - 4.5 * difficulty, 32.0)
        foci = [(main, radius)]
        for _ in range(draw.choice((0, 1, 2), (0.72, 0.18, 0.10))):
            beside = tuple(m + draw.normal(0.8 * radius) for m in main)
            foci.append((beside, radius * draw.uniform(0.3, 0.7)))
        if abs(main[0]) < _BUTTERFLY_MM and draw.chance(0.25):
            foci.append(((-main[0], main[1], main[2]), radius * draw.uniform(0.3, 0.9)))
        return cls(kind, tuple(foci))

    @classmethod
    def _of_a_child(cls, draw: Draw) -> "TumourPlan":
        """Return a diffuse midline glioma of the pons or thalamus, or a tumour of the cerebellum (WHO 2021, CNS)."""
        place = draw.choice((_PONS, _THALAMUS, _CEREBELLUM), (0.45, 0.2, 0.35))
        centre = tuple(middle + draw.normal(3.0) for middle in place)
        if place is _CEREBELLUM:
            return cls(draw.choice(("solid", "patchy", "ring")), ((centre, draw.uniform(10.0, 22.0)),))
        return cls(
            draw.choice(("none", "patchy", "ring"), (0.6, 0.25, 0.15)), ((centre, draw.uniform(9.0, 19.0)),)
        )


def grow(draw: Draw, grid: BrainGrid, tissue: Tensor, plan: TumourPlan) -> tuple[list[Layer], Tensor]:
    """Return the layers of a tumour, outermost first, and its labels (X, Y, Z) uint8.

    tissue: (3, X, Y, Z), after the warp.
    """
    brain = tissue.sum(0) > 0.5
    surface = _surface(draw, grid, plan) + 5.0 * tissue[CSF]
    edge = draw.uniform(0.3, 1.0) * 2.0
    core = soft(surface, edge) * brain
    infiltration = _oedema(draw, grid, tissue, surface, plan) * brain
    enhancing, dead = _parts(draw, grid, plan, surface, core, edge)

    opacity = draw.uniform(0.7, 1.0)
    layers = [Layer(infiltration * opacity, oedema(draw), draw.uniform(0.02, 0.08), 6.0)]
    layers.append(Layer(core, solid_tumour(draw), draw.uniform(0.03, 0.1), draw.uniform(3, 8)))
    if dead is not None:
        layers.append(Layer(dead, necrosis(draw), draw.uniform(0.03, 0.12), draw.uniform(4, 9)))
    if enhancing is not None:
        layers.append(
            Layer(enhancing, enhancing_tumour(draw), draw.uniform(0.05, 0.18), draw.uniform(2.5, 6))
        )

    labels = torch.zeros(grid.shape, dtype=torch.uint8)
    labels[infiltration > 0.5] = OEDEMA
    labels[core > 0.5] = NECROSIS
    if enhancing is not None:
        labels[(enhancing > 0.5) & (core > 0.5)] = ENHANCING
    return layers, labels


def _surface(draw: Draw, grid: BrainGrid, plan: TumourPlan) -> Tensor:
    """Return the signed distance from the surface of the core, mm, negative inside; roughly, since it is bent."""
    surface = torch.full(grid.shape, 1e3)
    for centre, radius in plan.foci:
        surface = torch.minimum(surface, ellipsoid(draw, grid, centre) - radius)
    size = max(radius for _, radius in plan.foci)
    surface += size * draw.uniform(0.06, 0.28) * draw.smooth(grid, max(draw.uniform(0.5, 0.9) * size, 6.0))
    surface += min(size * draw.uniform(0.02, 0.12), 2.0) * draw.smooth(grid, 5.0)
    return surface


def _oedema(draw: Draw, grid: BrainGrid, tissue: Tensor, surface: Tensor, plan: TumourPlan) -> Tensor:
    """Return the share of oedema: it spreads along white matter, hardly through cortex, never through CSF.

    So it reaches the other hemisphere through the corpus callosum, and does not leap over the falx: what bends its
    outline is the price of a way, never a shift of what has been reached.
    """
    if draw.chance(0.10):
        return torch.zeros(grid.shape)
    extent = draw.uniform(2, 10) if plan.kind == "none" else draw.log_uniform(4, 28)
    tracts = torch.exp(draw.uniform(0.2, 0.8) * draw.smooth(grid, draw.uniform(8, 16)))
    cost = tracts + draw.uniform(2.0, 8.0) * tissue[GREY] + 20.0 * (1 - tissue[GREY] - tissue[WHITE])
    spread = surface.clone()
    box = _around(grid, plan, 2.0 * extent)
    spread[box] += detour(surface[box] < 0, cost[box], grid.spacing)
    spread += 45.0 * tissue[CSF] + draw.uniform(0.3, 1.5) * draw.smooth(grid, 5.0)
    return soft(spread - extent, draw.uniform(1.0, 4.0))


def _around(grid: BrainGrid, plan: TumourPlan, margin: float) -> tuple[slice, slice, slice]:
    """Return the box of all foci with a margin, mm."""
    boxes = [grid.box(centre, 1.6 * radius + margin) for centre, radius in plan.foci]
    x, y, z = (
        slice(min(b.start for b in axis), max(b.stop for b in axis)) for axis in zip(*boxes, strict=True)
    )
    return x, y, z


def _parts(
    draw: Draw, grid: BrainGrid, plan: TumourPlan, surface: Tensor, core: Tensor, edge: float
) -> tuple[Tensor | None, Tensor | None]:
    """Return the shares of enhancing and of necrotic tissue within the core; None where there is none."""
    if plan.kind == "none":
        return None, None
    size = max(radius for _, radius in plan.foci)
    if plan.kind == "solid":
        return core, None
    if plan.kind == "patchy":
        field = draw.smooth(grid, max(0.35 * size, 4.0)) + 0.3 * draw.smooth(grid, 4.0)
        return core * soft((draw.uniform(-0.3, 0.9) - field) * 3.0, edge), None
    # Ring: necrosis begins at a depth below the surface that varies along the rim.
    depth = max(size * (1 - draw.uniform(0.3, 0.92)), _THINNEST_RIM_MM)
    inner = surface + depth + 0.3 * depth * draw.smooth(grid, 8.0) + 0.6 * draw.smooth(grid, 4.0)
    dead = soft(inner, edge) * core
    living = core - dead
    if draw.chance(0.4):  # gaps in the rim
        living = living * soft((draw.smooth(grid, 12.0) - draw.uniform(0.4, 1.6)) * 4.0, edge)
    return living.clamp_min(0), dead
