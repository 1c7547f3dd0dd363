"""Healthy brain is not alike everywhere: what is bright in FLAIR, T2 and DWI and is no lesion."""

from collections.abc import Callable

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import GREY, WHITE
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid, Point

# Centre and half widths, mm from the middle of the brain (about MNI152 plus 17 mm in y, minus 5 in z); all but those of
# the midline have a twin on the left. T2 is longest in the cortex of the cingulum, the hippocampus and then the insula
# (Georgiades et al., AJNR 2001); FLAIR of 40 volunteers was bright along the corticospinal tract in all, and had caps
# around the frontal horns in 90 % and the occipital ones in 77 % (Neuroradiology 1997, doi:10.1007/s002340050402).
_Place = tuple[Point, Point]
_CINGULATE: tuple[_Place, ...] = (
    ((0.0, 58.0, 8.0), (9.0, 8.0, 9.0)),
    ((0.0, 44.0, 26.0), (9.0, 9.0, 8.0)),
    ((0.0, 20.0, 33.0), (9.0, 15.0, 8.0)),
    ((0.0, -8.0, 33.0), (9.0, 15.0, 8.0)),
    ((0.0, -30.0, 22.0), (9.0, 8.0, 10.0)),
)
_INSULA: tuple[_Place, ...] = (
    ((37.0, 25.0, -3.0), (8.0, 14.0, 12.0)),
    ((37.0, 10.0, 2.0), (8.0, 12.0, 10.0)),
)
_TEMPORAL: tuple[_Place, ...] = (
    ((23.0, 8.0, -24.0), (10.0, 12.0, 9.0)),
    ((26.0, -8.0, -18.0), (9.0, 12.0, 8.0)),
)
_CAPS: tuple[_Place, ...] = (((17.0, 50.0, 1.0), (7.0, 6.0, 8.0)), ((27.0, -44.0, 5.0), (7.0, 9.0, 8.0)))
_TRACT: tuple[_Place, ...] = (
    ((7.0, -3.0, -32.0), (4.0, 4.0, 12.0)),
    ((14.0, 0.0, -16.0), (5.0, 5.0, 10.0)),
    ((22.0, 3.0, 0.0), (5.0, 6.0, 10.0)),
    ((26.0, -1.0, 16.0), (5.0, 7.0, 11.0)),
    ((27.0, -5.0, 34.0), (6.0, 7.0, 12.0)),
)
# Where, in which tissue, how often, and by how much at most: judged by eye where the above is silent.
_KINDS = (
    (_CINGULATE, GREY, 0.7, 0.25),
    (_INSULA, GREY, 0.7, 0.25),
    (_TEMPORAL, GREY, 0.7, 0.30),
    (_CAPS, WHITE, 0.8, 0.45),
    (_TRACT, WHITE, 0.7, 0.35),
)


def brighter(draw: Draw, grid: BrainGrid, tissue: Tensor, place: Callable[[Point], Point]) -> Tensor:
    """Return by which share healthy tissue is brighter in FLAIR than its kind is on average, (X, Y, Z).

    tissue: (3, X, Y, Z); place: where a point of the atlas has come to lie, mm.
    """
    share = torch.zeros(grid.shape)
    for channel in (GREY, WHITE):
        share += draw.uniform(0.02, 0.06) * tissue[channel] * draw.smooth(grid, draw.uniform(20.0, 40.0))
    for places, channel, likelihood, most in _KINDS:
        if draw.chance(likelihood):
            share += draw.uniform(0.05, most) * tissue[channel] * _spread(grid, places, place)
    return share


def _spread(grid: BrainGrid, places: tuple[_Place, ...], place: Callable[[Point], Point]) -> Tensor:
    """Return 1 in the middle of each place, falling to 0 around it, (X, Y, Z)."""
    field = torch.zeros(grid.shape)
    for (x, y, z), widths in places:
        for side in (x, -x) if x else (x,):
            centre = place((side, y, z))
            box = grid.box(centre, 2.5 * max(widths))
            squared = torch.zeros(())
            for axis, middle, width in zip(grid.axes(box), centre, widths, strict=True):
                squared = squared + ((axis - middle) / width) ** 2
            field[box] = torch.maximum(field[box], torch.exp(-squared))
    return field
