"""The falx: what keeps a lesion in its hemisphere, and where the brain is one below it."""

import torch
from torch import Tensor

# Where the two sides are one, ((back, front), (low, high)) in mm from the middle of the brain, read off the middle
# plane of the ICBM 2009a atlas: corpus callosum; thalami to brainstem; vermis.
_CALLOSUM = ((-25.0, 50.0), (-6.0, 26.0))
_BRIDGES = (_CALLOSUM, ((-28.0, 26.0), (-80.0, 2.0)), ((-65.0, 26.0), (-80.0, -15.0)))
# What a millimetre beside a bridge adds to the way to the other side, mm; the falx itself is never passed.
_SLOPE, _CLOSED = 5.0, 100.0
# What has come as far as this to the other side has paid its whole toll, mm.
_PASSAGE = 5.0


def detour_around(anatomical: Tensor, right: bool, toll: float) -> Tensor:
    """Return how much further away the other side is than it looks, mm (X, Y, Z); 0 on one's own side.

    anatomical: (3, X, Y, Z), where each voxel lies in the undeformed brain, mm from its middle (x to the right, y to
    the front, z up); right: from which side one looks; toll: mm, the price of the way over a bridge.
    """
    x, y, z = anatomical
    beyond = (-x if right else x).clamp_min(0)
    beside = torch.stack([_outside(y, front) + _outside(z, high) for front, high in _BRIDGES]).amin(0)
    closed = (_SLOPE * beside).clamp_max(_CLOSED) * (beyond / 2).clamp_max(1)
    return closed + toll * (beyond / _PASSAGE).clamp_max(1)


def at_callosum(y: float, z: float) -> bool:
    """Return whether the corpus callosum ends beside such a point, mm from the middle of the brain."""
    (back, front), (low, high) = _CALLOSUM
    return back < y < front and low < z < high


def _outside(position: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return (low - position).clamp_min(0) + (position - high).clamp_min(0)
