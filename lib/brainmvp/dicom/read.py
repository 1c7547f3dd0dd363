"""The voxels of a DICOM image, decoded from any transfer syntax that pydicom and pylibjpeg know."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset, dcmread

from brainmvp.errors import BrainMVPError, first_line
from brainmvp.volume import Volume

if TYPE_CHECKING:
    from brainmvp.dicom.series import DicomImage


def read_image(image: "DicomImage") -> Volume:
    """Return the voxels (column, row, slice) with the rescaling of each slice applied.

    Integers stay integers where the rescaling does. Raises `BrainMVPError` naming the file that cannot be decoded.
    """
    frames = lru_cache(maxsize=1)(_frames)
    slices = []
    for plane in image.planes:
        dataset, pixels = frames(plane.path)
        with _decoding(plane.path):
            pixels = pixels if plane.frame is None else pixels[plane.frame]
            slope, intercept = _rescaling(dataset, plane.frame)
        if pixels.shape != image.shape[1::-1]:
            raise BrainMVPError(
                f"{plane.path} holds {' x '.join(map(str, pixels.shape))} pixels and not what its header says; "
                "export it again."
            )
        slices.append(_rescaled(pixels, slope, intercept).T)
    return Volume(np.stack(slices, axis=-1), image.affine, image.planes[0].path)


def read_headers(image: "DicomImage") -> list[Dataset]:
    """Return the headers of an image's files without their voxels, in the order of its slices.

    Raises `BrainMVPError` naming the file that cannot be decoded.
    """
    headers = []
    for path in dict.fromkeys(plane.path for plane in image.planes):
        with _decoding(path):
            headers.append(dcmread(path, stop_before_pixels=True, force=True))
    return headers


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the decoders raise whatever they like
        raise BrainMVPError(
            f"{path} cannot be decoded ({first_line(error)}); export or send it again."
        ) from error


def _frames(path: Path) -> tuple[Dataset, np.ndarray]:
    with _decoding(path):
        dataset = dcmread(path, force=True)
        pixels = dataset.pixel_array
    if pixels.ndim == 2 and "PerFrameFunctionalGroupsSequence" in dataset:
        pixels = pixels[None]
    return dataset, pixels


def _rescaling(dataset: Dataset, frame: int | None) -> tuple[float, float]:
    if frame is None:
        sources = [dataset]
    else:
        groups = [dataset.PerFrameFunctionalGroupsSequence[frame]]
        groups += list(dataset.get("SharedFunctionalGroupsSequence") or [])
        sources = [item for group in groups for item in group.get("PixelValueTransformationSequence") or []]
    for source in sources:
        if source.get("RescaleSlope") not in (None, ""):
            return float(source.RescaleSlope), float(source.get("RescaleIntercept") or 0)
    return 1.0, 0.0


def _rescaled(pixels: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    if slope == 1 and intercept == 0:
        return pixels
    return (pixels * np.float64(slope) + intercept).astype(np.float32)
