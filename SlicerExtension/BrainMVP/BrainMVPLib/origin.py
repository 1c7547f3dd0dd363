"""What the server has of a volume: noted on its node, so that nothing goes over the wire twice.

A scene that is saved takes the notes along; the files that its volumes were read from stay behind.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np

_NOTE = "BrainMVP.Origin"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Origin:
    """The image at the server that a volume came from, or became.

    image: its id; sha256: of its file, empty where the server tells none; grid: where the file's voxels lie, (4, 4)
    index to RAS mm; content: `content_of` the volume as it was then; server: its address.
    """

    image: str
    sha256: str
    grid: np.ndarray
    content: str
    server: str = ""


def note(node: Any, origin: Origin) -> None:
    """Note on a volume node what the server has of it."""
    node.SetAttribute(_NOTE, json.dumps(vars(origin) | {"grid": origin.grid.tolist()}))


def noted(node: Any) -> Origin | None:
    """Return what is noted on a volume node; None where the server knows nothing of it."""
    text = node.GetAttribute(_NOTE)
    if not text:
        return None
    values = json.loads(text)
    return Origin(**values | {"grid": np.array(values["grid"])})


def content_of(voxels: np.ndarray, affine: np.ndarray) -> str:
    """Return a text that changes when the voxels (Z, Y, X) or their place (4, 4) do; for threads too."""
    place = zlib.crc32((np.round(affine, 3) + 0.0).tobytes())  # without the sign of a zero
    return f"{zlib.crc32(np.ascontiguousarray(voxels), place):08x}"


def sha256_of(path: Path, each_block: Callable[[], Any] = lambda: None) -> str:
    """Return the SHA-256 of a file; `each_block` is called now and then."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            each_block()
            digest.update(block)
    return digest.hexdigest()
