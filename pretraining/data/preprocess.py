"""One study on its grid, as the method sees it: RAS, isotropic, cropped to what is not background, 0 to 1."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np

from brainmvp.cohort import Index, Session
from brainmvp.errors import BrainMVPError
from brainmvp.foreground import foreground
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, extent_or_all, ras_grid, resample, resample_mask
from brainmvp.volume import Volume, read_volume

# Official script: these percentiles of the cropped image, background included, become 0 and 1; the rest is clipped.
PERCENTILES = (5.0, 95.0)
# Intensities are kept as 16-bit integers: a step is 1.5e-5 of the range, far below any scanner's noise.
LEVELS = 65535
# Axes and spacings nearer than this to the grid's are taken as they are, without interpolation.
_SAME_MM = 1e-3

# No head scan is longer; a file in micrometres is, and its grid would not fit into any memory.
_LONGEST_MM = 1000.0

# (file of the index, sentence that says why it cannot be used)
OnBad = Callable[[str, str], None]


def preprocess(
    index: Index, session: Session, spacing: float, on_bad: OnBad
) -> list[tuple[Sequence, np.ndarray]]:
    """Return the series of a study that can be used, (X, Y, Z) uint16 each, 0 to `LEVELS`, on one grid.

    spacing: mm. A series that cannot be used is told to `on_bad` and left out. The first usable one gives the field of
    view. Series of one grid with voxels of `spacing` are not interpolated. The box is symmetric about the middle of the
    field of view, as the official crop is: that middle is what lies on the middle of the templates.
    """
    usable: list[tuple[Sequence, str, Volume, np.ndarray]] = []
    for image in session.images:
        try:
            volume = read_volume(index.path(image.file))
            _check_length(volume)
            usable.append((image.sequence, image.file, volume, foreground(volume)))
        except BrainMVPError as error:
            on_bad(image.file, str(error))
    if not usable:
        return []
    grid = field_of_view(usable[0][2], spacing)
    shown = np.zeros(grid.shape, bool)
    for _, _, volume, mask in usable:
        shown |= resample_mask(mask, volume.affine, grid)
    box = symmetric_box(shown)
    series = []
    for sequence, file, volume, _ in usable:
        values = _on_grid(volume, grid)[box]
        scaled = scale(values)
        if scaled is None:
            on_bad(file, f"{volume.path} has no contrast within the head; export it again.")
        else:
            series.append((sequence, scaled))
    return series


def field_of_view(volume: Volume, spacing: float) -> Grid:
    """Return the RAS grid of isotropic voxels over the whole image; the image's own, turned, where that is one."""
    data, affine = _canonical(volume)
    if np.abs(affine[:3, :3] - np.eye(3) * spacing).max() < _SAME_MM:
        return Grid(data.shape, affine)
    return ras_grid(np.ones(volume.shape, bool), volume.affine, spacing, margin_mm=0.0)


def symmetric_box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """Return the smallest box about the middle of the grid that holds a mask (X, Y, Z) bool; all of it if empty."""
    inside = zip(extent_or_all(mask), mask.shape, strict=True)
    margins = [min(low, size - 1 - high) for (low, high), size in inside]
    x, y, z = (slice(margin, size - margin) for margin, size in zip(margins, mask.shape, strict=True))
    return x, y, z


def scale(values: np.ndarray) -> np.ndarray | None:
    """Return an image (X, Y, Z) with its percentiles 5 and 95 at 0 and `LEVELS`, uint16; None if they are equal."""
    low, high = np.percentile(values, PERCENTILES)
    if not high > low:
        return None
    share = (values.astype(np.float32) - low).clip(0, high - low) / (high - low)
    return np.rint(share * LEVELS).astype(np.uint16)


def _check_length(volume: Volume) -> None:
    longest = max(volume.shape * volume.spacing)
    if longest > _LONGEST_MM:
        raise BrainMVPError(
            f"{volume.path} is {longest:.0f} mm long, more than any head scan; if it is in micrometres, export it in "
            "millimetres."
        )


def _on_grid(volume: Volume, grid: Grid) -> np.ndarray:
    values, affine = _canonical(volume)
    if values.shape == grid.shape and np.abs(affine - grid.affine).max() < _SAME_MM:
        return values
    return resample(volume, grid)


def _canonical(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Return data and affine with axes flipped and swapped to run as nearly as possible along R, A and S."""
    turn = nib.io_orientation(volume.affine)
    data = nib.apply_orientation(volume.data, turn)
    return data, volume.affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
