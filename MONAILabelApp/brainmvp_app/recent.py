"""What a client may ask about inferences: how far one is, and how unsure the last one on an image was."""

import zlib
from collections import OrderedDict
from threading import Lock

import numpy as np

from brainmvp.segmentation import Segmentation
from brainmvp.volume import Volume

# For the drafts that annotators have before them; packed, because most of a map is zero.
_KEPT = 100


class Recent:
    """The running inferences and the last uncertainty maps of one model, by image id; safe to share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._steps: dict[str, tuple[str, float]] = {}
        self._maps: OrderedDict[str, tuple[str, list[str], tuple[int, ...], bytes, np.ndarray]] = (
            OrderedDict()
        )

    def tell(self, image: str, step: str, fraction: float) -> None:
        """Note what the inference on an image does, and how far it is, 0…1."""
        with self._lock:
            self._steps[image] = step, fraction

    def over(self, image: str) -> None:
        """Note that the inference on an image has ended."""
        with self._lock:
            self._steps.pop(image, None)

    def step(self, image: str) -> tuple[str, float] | None:
        """Return what the inference on an image does, or None where none runs."""
        with self._lock:
            return self._steps.get(image)

    def steps(self) -> dict[str, tuple[str, float]]:
        """Return by image what runs now."""
        with self._lock:
            return dict(self._steps)

    def keep(self, image: str, result: Segmentation) -> None:
        """Keep the uncertainty of a result, in steps of 1/255."""
        levels = np.round(result.uncertainty * 255).astype(np.uint8)
        used, packed = list(map(str, result.used)), zlib.compress(levels.tobytes(), 1)
        with self._lock:
            self._maps[image] = result.model, used, levels.shape, packed, result.labels.affine
            self._maps.move_to_end(image)
            while len(self._maps) > _KEPT:
                self._maps.popitem(last=False)

    def uncertainty(self, image: str) -> tuple[str, list[str], Volume] | None:
        """Return of the last result model version, sequences used and map (X, Y, Z) float32, 0…1; None without one."""
        with self._lock:
            kept = self._maps.get(image)
        if kept is None:
            return None
        model, used, shape, packed, affine = kept
        levels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
        return model, used, Volume(levels.astype(np.float32) / 255, affine)
