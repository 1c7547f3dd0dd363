"""Writes a volume as compressed NRRD from a thread.

SimpleITK would hold Python's lock, and with it the main thread, for the whole of a compression; zlib lets go of it.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Callable

import numpy as np

from .replacing import replacing

_CHUNK = 1 << 20
_TYPES = {
    "u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32", "u8": "uint64",
    "i8": "int64", "f4": "float", "f8": "double",
}  # fmt: skip


def write_nrrd(
    path: Path, voxels: np.ndarray, affine: np.ndarray, report: Callable[[float], Any] = lambda fraction: None
) -> Path:
    """Write voxels (Z, Y, X), as VTK orders them, with their place (4, 4; index i, j, k to RAS mm); return the path.

    The same volume always gives the same bytes. The file appears complete or not at all.
    """
    kind = _TYPES.get(voxels.dtype.str[1:])
    if kind is None or voxels.ndim != 3:
        raise ValueError(f"no 3-D NRRD type for {voxels.dtype} of shape {voxels.shape}")
    directions = " ".join("(" + ",".join(repr(float(x)) for x in affine[:3, axis]) + ")" for axis in range(3))
    header = [
        "NRRD0004",
        f"type: {kind}",
        "dimension: 3",
        "space: right-anterior-superior",
        "sizes: " + " ".join(str(size) for size in voxels.shape[::-1]),
        f"space directions: {directions}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (" + ",".join(repr(float(x)) for x in affine[:3, 3]) + ")",
    ]
    little = np.ascontiguousarray(voxels.astype(voxels.dtype.newbyteorder("<"), copy=False))
    raw = memoryview(little).cast("B")
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with a gzip header, which holds no time
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join([*header, "", ""]).encode("ascii"))
        for start in range(0, len(raw), _CHUNK):
            file.write(compressor.compress(raw[start : start + _CHUNK]))
            report(min(1.0, (start + _CHUNK) / len(raw)))
        file.write(compressor.flush())
    return path
