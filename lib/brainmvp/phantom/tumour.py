"""Tumours: necrosis within an enhancing rim within oedema, and the other ways that they look."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import CSF, GREY, WHITE
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.falx import at_callosum, detour_around, price_of_passing, side_of
from brainmvp.phantom.grid import BrainGrid, Point
from brainmvp.phantom.layers import Layer, ellipsoid, soft
from brainmvp.phantom.materials import enhancing_tumour, microcystic_tumour, necrosis, oedema, solid_tumour
from brainmvp.phantom.paths import detour
from brainmvp.sequences import Sequence

NECROSIS, OEDEMA, ENHANCING = 1, 2, 3
# Whole tumours are outlined on FLAIR: what is labelled there can be seen there.
_CLEAR_ON = frozenset({Sequence.T1CE, Sequence.DWI, Sequence.FLAIR})

# Ring-enhancing, solid enhancing, without enhancement, patchy enhancement.
_KINDS = ("ring", "solid", "none", "patchy")
_KIND_WEIGHTS = (0.53, 0.13, 0.20, 0.14)
# Where children's tumours grow, mm from the middle of the brain's box: x to the right, y to the front, z up.
_PONS, _THALAMUS, _CEREBELLUM = (0.0, -8.0, -42.0), (9.0, -2.0, 2.0), (4.0, -42.0, -42.0)
# A tumour beside the corpus callosum and as near as this to the midline may have crossed it (a butterfly glioma), mm.
_BUTTERFLY_MM = 22.0
# Oedema reaches no further than this many radii from a focus: a small one does not fill a hemisphere, though half of
# the metastases have more than their size tells.
_FARTHEST, _FAR_OF_METASTASES = 2.5, 6.0
# Below this height there is room for a tumour of this radius at most, mm.
_POSTERIOR_FOSSA = (-32.0, 22.0)
# The share of gliomas without enhancement that are dark inside in FLAIR: of IDH-mutant astrocytomas 42 % are, of other
# gliomas nearly none (Park et al., Eur Radiol 2021: 1053 patients).
_MISMATCH = 0.33
# The share of rings that are a part of a core that does not enhance elsewhere: judged by eye.
_RING_WITHIN = 0.25
# A rim thinner than this would not be seen on the grid that the models work on, mm.
_THINNEST_RIM_MM = 2.2


@dataclass(frozen=True)
class TumourPlan:
    """What is decided before the brain is warped: each focus has a centre and a radius, mm.

    crosses: whether it passes freely to the other side where the brain is one; spills: whether it takes the way over
    the corpus callosum at a price; apart: whether its foci lie on both sides. Else it keeps to the side of the first.
    """

    kind: str
    foci: tuple[tuple[Point, float], ...]
    crosses: bool = False
    spills: bool = False
    apart: bool = False

    @classmethod
    def drawn(
        cls, draw: Draw, seeds: list[Point], difficulty: float, place: Callable[[Point], Point]
    ) -> "TumourPlan":
        """Return a glioma with up to two satellites, metastases or a child's tumour.

        seeds: at least six, in the order in which they are used; difficulty: 0…1 allows smaller ones; place: where a
        point of the anatomy has come to lie, mm.
        """
        if draw.chance(0.07):
            return cls._of_a_child(draw, place)
        centres = [place(point) for point in seeds]
        if draw.chance(0.06 + 0.08 * difficulty):
            count = draw.integer(1, min(len(centres), 6))
            kind = draw.choice(("ring", "solid"))
            return cls(
                kind,
                tuple((c, draw.log_uniform(4.0 - 1.5 * difficulty, 11.0)) for c in centres[:count]),
                apart=True,
            )
        kind = draw.choice(_KINDS, _KIND_WEIGHTS)
        # Those that do not enhance grow large before they are found.
        smallest, largest = (14.0, 38.0) if kind == "none" else (9.5 - 3.5 * difficulty, 34.0)
        main, radius = centres[0], draw.log_uniform(smallest, largest)
        if main[2] < _POSTERIOR_FOSSA[0]:
            radius = min(radius, _POSTERIOR_FOSSA[1])
        foci = [(main, radius)]
        for _ in range(draw.choice((0, 1, 2), (0.72, 0.18, 0.10))):
            x, y, z = (m + draw.normal(0.8 * radius) for m in main)
            foci.append(((math.copysign(x, main[0]), y, z), radius * draw.uniform(0.3, 0.7)))
        beside_callosum = abs(main[0]) < _BUTTERFLY_MM and at_callosum(*main[1:])
        butterfly = beside_callosum and draw.chance(0.4)
        if butterfly:
            foci.append(((0.0, main[1], main[2]), radius * draw.uniform(0.3, 0.6)))
            foci.append(((-main[0], main[1], main[2]), radius * draw.uniform(0.3, 0.9)))
        # One in seven: judged by eye.
        spills = beside_callosum and not butterfly and draw.chance(0.15)
        return cls(kind, tuple(foci), crosses=butterfly, spills=spills)

    @classmethod
    def _of_a_child(cls, draw: Draw, where: Callable[[Point], Point]) -> "TumourPlan":
        """Return a diffuse midline glioma of the pons or thalamus, or a tumour of the cerebellum (WHO 2021, CNS)."""
        place = draw.choice((_PONS, _THALAMUS, _CEREBELLUM), (0.45, 0.2, 0.35))
        centre = where(tuple(middle + draw.normal(3.0) for middle in place))
        if place is _CEREBELLUM:
            kind, radius = draw.choice(("solid", "patchy", "ring")), draw.uniform(10.0, 22.0)
        else:
            kind = draw.choice(("none", "patchy", "ring"), (0.6, 0.25, 0.15))
            radius = draw.uniform(9.0, 19.0)
        return cls(kind, ((centre, radius),), crosses=True)


def grow(
    draw: Draw, grid: BrainGrid, tissue: Tensor, anatomical: Tensor, plan: TumourPlan
) -> tuple[list[Layer], Tensor]:
    """Return the layers of a tumour, outermost first, and its labels (X, Y, Z) uint8.

    tissue: (3, X, Y, Z), after the warp; anatomical: (3, X, Y, Z), where each voxel comes from (see `Warp.source`).
    """
    brain = tissue.sum(0) > 0.5
    distances = _distances(draw, grid, tissue, anatomical, plan) + _roughness(draw, grid, plan)
    surface = distances.amin(0) + 5.0 * tissue[CSF]
    edge = draw.uniform(0.3, 1.0) * 2.0
    core = soft(surface, edge) * brain
    infiltration, marked = _oedema(draw, grid, tissue, surface, distances, plan)
    infiltration = infiltration * brain
    enhancing, dead = _parts(draw, grid, plan, surface, core, edge)

    layers = [
        Layer(
            infiltration * _unevenly(draw, grid),
            oedema(draw),
            draw.uniform(0.02, 0.08),
            6.0,
            clear_on=_CLEAR_ON,
        )
    ]
    solid = core * _unevenly(draw, grid)
    layers.append(
        Layer(solid, solid_tumour(draw), draw.uniform(0.03, 0.1), draw.uniform(3, 8), clear_on=_CLEAR_ON)
    )
    if plan.kind == "none" and draw.chance(_MISMATCH):
        inside = soft(surface + draw.uniform(2.5, 6.0) + 1.5 * draw.smooth(grid, 8.0), draw.uniform(2.0, 4.0))
        layers.append(
            Layer(core * inside, microcystic_tumour(draw), draw.uniform(0.03, 0.1), 5.0, clear_on=_CLEAR_ON)
        )
    if dead is not None:
        layers.append(Layer(dead, necrosis(draw), draw.uniform(0.03, 0.12), draw.uniform(4, 9)))
    if enhancing is not None:
        layers.append(
            Layer(enhancing, enhancing_tumour(draw), draw.uniform(0.05, 0.18), draw.uniform(2.5, 6))
        )

    labels = torch.zeros(grid.shape, dtype=torch.uint8)
    labels[infiltration > marked] = OEDEMA
    labels[core > 0.5] = NECROSIS
    if enhancing is not None:
        labels[(enhancing > 0.5) & (core > 0.5)] = ENHANCING
    return layers, labels


def _unevenly(draw: Draw, grid: BrainGrid) -> Tensor:
    """Return how much of a lesion's contrast shows at each place, 0…1 (X, Y, Z): alike in all sequences."""
    share = draw.uniform(0.7, 1.0) + draw.uniform(0.0, 0.25) * draw.smooth(grid, draw.uniform(8.0, 20.0))
    return share.clamp(0.4, 1.0)


def _distances(draw: Draw, grid: BrainGrid, tissue: Tensor, anatomical: Tensor, plan: TumourPlan) -> Tensor:
    """Return the distance from the surface of each focus (foci, X, Y, Z), mm, negative inside.

    The falx keeps a focus to its side.
    """
    toll = 0.0 if plan.crosses else draw.uniform(5.0, 25.0)
    price = price_of_passing(grid, tissue, anatomical, toll=toll, callosum=plan.crosses or plan.spills)
    own_sides = plan.crosses or plan.apart
    distances = []
    for centre, radius in plan.foci:
        right = side_of(grid, anatomical, centre if own_sides else plan.foci[0][0])
        distances.append(ellipsoid(draw, grid, centre) - radius + detour_around(anatomical, right, price))
    return torch.stack(distances)


def _roughness(draw: Draw, grid: BrainGrid, plan: TumourPlan) -> Tensor:
    """Return what bends the outline, mm (X, Y, Z)."""
    size = max(radius for _, radius in plan.foci)
    bends = size * draw.uniform(0.06, 0.28) * draw.smooth(grid, max(draw.uniform(0.5, 0.9) * size, 6.0))
    return bends + min(size * draw.uniform(0.02, 0.12), 2.0) * draw.smooth(grid, 5.0)


def _oedema(
    draw: Draw, grid: BrainGrid, tissue: Tensor, surface: Tensor, distances: Tensor, plan: TumourPlan
) -> tuple[Tensor, float]:
    """Return the share of oedema: it spreads along white matter, hardly through cortex, never through CSF.

    And the share from which it is labelled. Mostly it fades into the brain over some millimetres, and readers draw
    its outline around half of it (in two patients the outermost 2 mm of what they drew have half of the contrast in
    FLAIR that lies 4 mm deeper, and the next 2 mm beyond a fifth).

    It reaches the other hemisphere only where the brain is one, at a price, and does not leap over the falx: what
    bends its outline is the price of a way, never a shift of what has been reached. Each focus has its own extent.
    """
    if draw.chance(0.10):
        return torch.zeros(grid.shape), 0.5
    diffuse = plan.kind == "none"
    extent = draw.uniform(2, 10) if diffuse else draw.log_uniform(1.5, 34)
    tracts = torch.exp(draw.uniform(0.2, 0.8) * draw.smooth(grid, draw.uniform(8, 16)))
    cortex = draw.uniform(0.3, 2.0) if diffuse else draw.uniform(2.0, 8.0)
    cost = tracts + cortex * tissue[GREY] + 20.0 * (1 - tissue[GREY] - tissue[WHITE])
    shares = [1.0, *(draw.uniform(0.4, 1.0) for _ in plan.foci[1:])]
    farthest = _FAR_OF_METASTASES if plan.apart and draw.chance(0.5) else _FARTHEST
    reach = [
        min(extent * share, farthest * radius) for share, (_, radius) in zip(shares, plan.foci, strict=True)
    ]
    box = _around(grid, plan, 2.0 * extent)
    longer = torch.ones(grid.shape)
    longer[box] = detour(surface[box] < 0, cost[box])
    spread = (distances * longer - torch.tensor(reach)[:, None, None, None]).amin(0) + 50.0 * tissue[CSF]
    spread += draw.uniform(0.3, 1.5) * draw.smooth(grid, 5.0)
    if draw.chance(0.3):
        return soft(spread, draw.uniform(1.0, 4.0)), 0.5
    edge = min(draw.log_uniform(3.0, 12.0), max(1.2 * extent, 2.0))
    return soft(spread, edge), draw.uniform(0.35, 0.55)


def _around(grid: BrainGrid, plan: TumourPlan, margin: float) -> tuple[slice, slice, slice]:
    """Return the box of all foci with a margin, mm."""
    boxes = [grid.box(centre, 1.6 * radius + margin) for centre, radius in plan.foci]
    x, y, z = (
        slice(min(b.start for b in axis), max(b.stop for b in axis)) for axis in zip(*boxes, strict=True)
    )
    return x, y, z


def _ball_within(draw: Draw, grid: BrainGrid, plan: TumourPlan) -> Tensor:
    """Return the distance from the surface of a ball off the middle of the first focus, mm, negative inside."""
    centre, radius = plan.foci[0]
    size = radius * draw.uniform(0.4, 0.8)
    aside = tuple(middle + draw.uniform(-0.5, 0.5) * radius for middle in centre)
    return ellipsoid(draw, grid, aside) - size + 0.15 * size * draw.smooth(grid, max(0.5 * size, 5.0))


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
    if draw.chance(_RING_WITHIN):
        surface = torch.maximum(surface, _ball_within(draw, grid, plan))
        core = torch.minimum(core, soft(surface, edge))
    # Ring: necrosis begins at a depth below the surface that varies along the rim.
    depth = max(size * (1 - draw.uniform(0.3, 0.92)), _THINNEST_RIM_MM)
    inner = surface + depth + 0.3 * depth * draw.smooth(grid, 8.0) + 0.6 * draw.smooth(grid, 4.0)
    dead = soft(inner, edge) * core
    living = core - dead
    if draw.chance(0.4):  # gaps in the rim
        living = living * soft((draw.smooth(grid, 12.0) - draw.uniform(0.4, 1.6)) * 4.0, edge)
    return living.clamp_min(0), dead
