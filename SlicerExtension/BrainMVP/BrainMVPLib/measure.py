"""Volumes and agreement of label maps."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np

from .labelmap import count
from .tables import LabelTable


@dataclass(frozen=True)
class Change:
    """What became of a structure: millilitres in the proposal and now, and the Dice between the two.

    dice: None where the structure is in neither.
    """

    name: str
    before_ml: float
    after_ml: float
    dice: float | None


def volumes_ml(counts: np.ndarray, voxel_ml: float, table: LabelTable) -> dict[str, float]:
    """Return the volume of each structure in millilitres, by name, from the number of voxels of each value."""
    return {s.name: round(float(counts[s.value]) * voxel_ml, 3) for s in table.structures}


def changes(before: np.ndarray, after: np.ndarray, voxel_ml: float, table: LabelTable) -> list[Change]:
    """Return what changed from one label map to another on the same grid, by structure."""
    in_before, in_after = count(before), count(after)
    in_both = count(np.where(before == after, before, 0))
    result = []
    for structure in table.structures:
        a, b, both = (int(counts[structure.value]) for counts in (in_before, in_after, in_both))
        dice = 2 * both / (a + b) if a + b else None
        result.append(Change(structure.name, round(a * voxel_ml, 3), round(b * voxel_ml, 3), dice))
    return result


def voxel_ml(affine: np.ndarray) -> float:
    """Return the volume of one voxel in millilitres; affine: (4, 4), index to mm."""
    return abs(float(np.linalg.det(affine[:3, :3]))) / 1000


def middle(labels: np.ndarray, affine: np.ndarray) -> tuple[float, ...] | None:
    """Return a labelled point, RAS mm, in the slice that shows most of a label map; None where nothing is labelled.

    labels: (Z, Y, X); affine: (4, 4), index (x, y, z) to mm.
    """
    areas = np.count_nonzero(labels, axis=(1, 2))
    if not areas.any():
        return None
    z = int(areas.argmax())
    y, x = np.nonzero(labels[z])
    nearest = int(((y - np.median(y)) ** 2 + (x - np.median(x)) ** 2).argmin())
    return tuple(float(mm) for mm in (affine @ [x[nearest], y[nearest], z, 1])[:3])


def pack(labels: np.ndarray) -> str:
    """Return a label map (Z, Y, X) uint8 as text, for the parameter node: some kilobytes for a lesion."""
    return base64.b64encode(zlib.compress(labels.tobytes(), 1)).decode("ascii")


def unpack(text: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the label map that `pack` packed, or None where it was of another shape."""
    raw = zlib.decompress(base64.b64decode(text)) if text else b""
    return np.frombuffer(raw, np.uint8).reshape(shape) if len(raw) == int(np.prod(shape)) else None
