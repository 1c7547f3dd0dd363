"""Grids, and the way of an image from one to another and back."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from brainmvp.volume import Volume

# How far the Gaussian of `resample` reaches, in standard deviations.
_REACH = 3.0


@dataclass(frozen=True)
class Grid:
    """A box of voxels in the world; affine: (4, 4) float64, voxel index to RAS millimetres."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size along each axis, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def middle_of(image: Grid | Volume) -> np.ndarray:
    """Return the middle of a box of voxels, (3,) RAS mm."""
    return image.affine[:3, :3] @ ((np.array(image.shape) - 1) / 2) + image.affine[:3, 3]


def ras_grid(mask: np.ndarray, affine: np.ndarray, spacing: float, margin_mm: float = 4.0) -> Grid:
    """Return the RAS grid of isotropic voxels that covers a mask.

    mask: (X, Y, Z) bool with its affine; spacing: mm; margin_mm: added on every side. The axes of the grid are
    those of the world, so an oblique image is turned.
    """
    corners = _bounding_corners(mask)
    world = (affine @ np.vstack([corners, np.ones(corners.shape[1])]))[:3]
    low, high = world.min(1) - margin_mm, world.max(1) + margin_mm
    shape = np.maximum(np.ceil((high - low) / spacing), 1).astype(int)
    result = np.diag([spacing, spacing, spacing, 1.0])
    result[:3, 3] = (low + high) / 2 - (shape - 1) * spacing / 2
    return Grid(tuple(shape.tolist()), result)


def extent(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the last voxel along each axis of a mask (X, Y, Z) bool that holds one at least."""
    inside = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return [(int(index[0]), int(index[-1])) for index in inside]


def extent_or_all(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the `extent` of a mask (X, Y, Z) bool, or that of its whole array where it is empty."""
    return extent(mask) if mask.any() else [(0, size - 1) for size in mask.shape]


def resample(volume: Volume, grid: Grid, world: np.ndarray | None = None) -> np.ndarray:
    """Return the image on another grid, (X, Y, Z) float32; zero where it does not reach.

    world: (4, 4), from the grid's world to the image's (a registration; identity where absent). Linear, after a
    Gaussian that keeps what the new grid is too coarse to show from aliasing. Works for any affine, sheared
    ones too, because it resamples from index to index.
    """
    to_index = np.linalg.inv(volume.affine) @ (np.eye(4) if world is None else world) @ grid.affine
    # One step along a grid axis moves this many voxels in the image: above one, the image has to be smoothed first.
    step = np.abs(to_index[:3, :3]).max(1)
    sigma = np.maximum(step - 1, 0) / 2
    data, to_index = _crop_to_need(volume.data, to_index, grid.shape, sigma)
    data = np.asarray(data, np.float32)
    if sigma.max() > 0.05:
        data = ndimage.gaussian_filter(data, sigma, mode="nearest", truncate=_REACH)
    return _sample(data, to_index, grid.shape, sitk.sitkLinear)


def resample_mask(
    mask: np.ndarray, affine: np.ndarray, grid: Grid, world: np.ndarray | None = None
) -> np.ndarray:
    """Return a mask (X, Y, Z) bool on another grid, by its nearest voxel."""
    return resample_labels(mask.astype(np.uint8), affine, grid, world).astype(bool)


def resample_labels(
    labels: np.ndarray, affine: np.ndarray, grid: Grid, world: np.ndarray | None = None
) -> np.ndarray:
    """Return a label map (X, Y, Z) uint8 on another grid, by its nearest voxel; zero where it does not reach."""
    to_index = np.linalg.inv(affine) @ (np.eye(4) if world is None else world) @ grid.affine
    return _sample(labels, to_index, grid.shape, sitk.sitkNearestNeighbor)


def put_back(maps: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    """Return maps (R, x, y, z) of a working grid on the target's grid, (R, X, Y, Z) float32, linear, zero outside.

    Only the part of the target that the working grid covers is computed.
    """
    result = np.zeros((len(maps), *target.shape), np.float32)
    box = covered_box(grid, target)
    part = Grid(tuple(s.stop - s.start for s in box), target.affine @ _translation([s.start for s in box]))
    to_index = np.linalg.inv(grid.affine) @ part.affine
    for index, values in enumerate(maps):
        result[(index, *box)] = _sample(np.asarray(values, np.float32), to_index, part.shape, sitk.sitkLinear)
    return result


def covered_box(grid: Grid, target: Grid) -> tuple[slice, slice, slice]:
    """Return the part of the target, in its voxels, that the grid's box covers."""
    corners = np.array(np.meshgrid(*[(-0.5, size - 0.5) for size in grid.shape])).reshape(3, -1)
    inside = (np.linalg.inv(target.affine) @ grid.affine @ np.vstack([corners, np.ones(8)]))[:3]
    starts = np.clip(np.floor(inside.min(1)), 0, np.array(target.shape) - 1).astype(int)
    stops = np.clip(np.ceil(inside.max(1)) + 1, starts + 1, target.shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))


def _sample(data: np.ndarray, to_index: np.ndarray, shape: tuple[int, ...], interpolator: int) -> np.ndarray:
    # SimpleITK sees both grids as unit boxes at the origin, and the transform carries all of the geometry: its own
    # geometry could not hold a sheared affine.
    image = sitk.GetImageFromArray(data.transpose(2, 1, 0))
    transform = sitk.AffineTransform(to_index[:3, :3].ravel().tolist(), to_index[:3, 3].tolist())
    output = sitk.Resample(
        image, list(shape), transform, interpolator, [0.0] * 3, [1.0] * 3, np.eye(3).ravel().tolist(), 0.0
    )
    return sitk.GetArrayFromImage(output).transpose(2, 1, 0)


def _crop_to_need(
    data: np.ndarray, to_index: np.ndarray, shape: tuple[int, ...], sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    margin = np.maximum(np.ceil(_REACH * sigma), 2) + 1  # what a Gaussian, and then a line, reaches
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape])).reshape(3, -1)
    inside = (to_index @ np.vstack([corners, np.ones(8)]))[:3]
    starts = np.clip(np.floor(inside.min(1)) - margin, 0, np.array(data.shape) - 1).astype(int)
    stops = np.clip(np.ceil(inside.max(1)) + margin + 1, starts + 1, data.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    return data[box], _translation(-starts) @ to_index


def _translation(offset: np.ndarray | list[int]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def _bounding_corners(mask: np.ndarray) -> np.ndarray:
    return np.array(np.meshgrid(*[(low - 0.5, high + 0.5) for low, high in extent_or_all(mask)])).reshape(
        3, -1
    )
