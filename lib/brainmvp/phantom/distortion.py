"""Echo-planar imaging bends the head along its phase-encoding axis, where air bends the magnet's field."""

import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid
from brainmvp.sequences import Sequence

# Images of one scan, on one grid and of one coverage; read out in one shot, and so bent:
# https://doi.org/10.1002/mrm.1910340111 (Jezzard and Balaban, 1995).
ECHO_PLANAR = (Sequence.DWI, Sequence.ADC)
_LARGEST_MM = 9.0


def air_below(grid: BrainGrid) -> Tensor:
    """Return 1 near the air of the frontal sinus and of the ears, falling to 0 away from it, (X, Y, Z)."""
    x, y, z = grid.axes()
    low = torch.sigmoid((-22.0 - z) / 5.0)
    frontal = torch.sigmoid((y - 18.0) / 6.0)
    temporal = torch.sigmoid((x.abs() - 18.0) / 5.0) * torch.exp(-(((y - 2.0) / 26.0) ** 2))
    return low * torch.maximum(frontal, temporal)


class Distortion:
    """A shift along y (front to back) that is the same for all images of one echo-planar scan."""

    def __init__(self, draw: Draw, grid: BrainGrid) -> None:
        amount = draw.uniform(-_LARGEST_MM, _LARGEST_MM)
        shift = amount * air_below(grid) * (0.7 + 0.3 * draw.smooth(grid, 20.0))
        size_x, size_y, size_z = grid.shape
        axes = [(2 * torch.arange(size) + 1) / size - 1 for size in (size_x, size_y, size_z)]
        x, y, z = torch.meshgrid(*axes, indexing="ij")
        # grid_sample wants the last axis first; its box is 2 wide.
        self._where = torch.stack([z, y + shift * 2 / (size_y * grid.spacing), x], -1)[None]

    def image(self, image: Tensor) -> Tensor:
        """Return the bent image (X, Y, Z) float32."""
        return functional.grid_sample(image[None, None], self._where, align_corners=False)[0, 0]

    def labels(self, labels: Tensor) -> Tensor:
        """Return the bent label map (X, Y, Z) uint8."""
        moved = functional.grid_sample(
            labels[None, None].float(), self._where, mode="nearest", align_corners=False
        )
        return moved[0, 0].to(labels.dtype)
