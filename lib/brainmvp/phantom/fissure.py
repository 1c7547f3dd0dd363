"""Where the fissure between the hemispheres lies: real ones are a little off the middle, turned and bent."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value", float, Tensor)

# How far from the last guess CSF is searched, mm, in rounds: first far, then near.
_REACH = (6.0, 4.0, 3.0, 3.0)
_SCALE = 50.0  # mm: keeps the numbers of the fit alike


@dataclass(frozen=True)
class Fissure:
    """A surface x = f(y, z) of second order, mm from the middle of the brain.

    weights: of 1, y, z, yy, yz, zz, where y and z are in units of 50 mm.
    """

    weights: tuple[float, ...] = (0.0,) * 6

    def at(self, y: Value, z: Value) -> Value:
        """Return x of the fissure beside a place, or places, mm."""
        y, z = y / _SCALE, z / _SCALE
        one, wy, wz, wyy, wyz, wzz = self.weights
        return one + y * (wy + wyy * y + wyz * z) + z * (wz + wzz * z)

    @classmethod
    def of(cls, csf: Tensor, spacing: float) -> "Fissure":
        """Measure it: what CSF lies around, row by row, in the fissure and the ventricles of the midline.

        csf: (X, Y, Z), its share of each voxel, of a brain in the middle of the array; spacing: mm.
        """
        x, y, z = (spacing * (torch.arange(size) - (size - 1) / 2) for size in csf.shape)
        slab = x.abs() < _REACH[0] + 6.0
        csf, x = csf[slab], x[slab]
        y, z = (place / _SCALE for place in torch.meshgrid(y, z, indexing="ij"))
        terms = torch.stack([torch.ones_like(y), y, z, y * y, y * z, z * z], -1).reshape(-1, 6)
        middle = torch.zeros(csf.shape[1:])
        for reach in _REACH:
            share = csf * torch.exp(-(((x[:, None, None] - middle) / reach) ** 2))
            weight = share.sum(0)
            centre = (share * x[:, None, None]).sum(0) / weight.clamp_min(1e-6)
            root = weight.reshape(-1, 1).sqrt()
            # In double precision and rounded: how a solver rounds depends on where its numbers lie in memory.
            rows, wanted = (part.double() for part in (terms * root, centre.reshape(-1, 1) * root))
            found = torch.linalg.lstsq(rows, wanted).solution.float().round(decimals=4)
            middle = (terms @ found).reshape(middle.shape)
        return cls(tuple(found[:, 0].tolist()))
