"""What is drawn in a segmentation, as a label map with the values that the table says."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from . import scene as ops
from .errors import ModuleError
from .labelmap import Labelmap
from .lost import check_nothing_is_lost, place_of
from .segmentations import LABELMAP, VALUE
from .tables import LabelTable

# How far a layer's grid may be from the reference's at its far end.
_VOXELS = 1e-3


@dataclass(frozen=True)
class Layer:
    """Voxels (Z, Y, X) that some segments share, each with a number of its own; corner: where they begin, (z, y, x)."""

    voxels: np.ndarray
    corner: tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """A segmentation as it was when it was copied: a thread may make the label map of it.

    shape: of the reference, (Z, Y, X); segments: for each its layer, its number there and its value in the label map;
    where they overlap, the later one wins.
    """

    shape: tuple[int, int, int]
    segments: tuple[tuple[Layer, int, int], ...]

    def labels(self) -> np.ndarray:
        """Return the label map (Z, Y, X) uint8."""
        result = np.zeros(self.shape, np.uint8)
        for layer, number, value in self.segments:
            inside, source = [], []
            for begin, length, size in zip(layer.corner, layer.voxels.shape, self.shape):
                low, high = max(begin, 0), min(begin + length, size)
                inside.append(slice(low, max(low, high)))
                source.append(slice(low - begin, max(low, high) - begin))
            for target, plane in zip(
                result[tuple(inside)], layer.voxels[tuple(source)]
            ):  # see `labelmap.count`
                target[plane == number] = value
        return result


def export_labels(segmentation: Any, table: LabelTable, reference: Any) -> np.ndarray:
    """Return the segmentation as a label map (Z, Y, X) uint8; see `copy_drawn`."""
    return copy_drawn(segmentation, table, reference).labels()


def copy_drawn(segmentation: Any, table: LabelTable, reference: Any) -> Drawn:
    """Copy what is drawn in a segmentation, to be a label map on the grid of the reference with the table's values.

    Where segments overlap, the structure that comes later in the table wins: tables go from the outside inwards.
    Raises `ModuleError` if a segment with content is none of the table's structures, or the grid does not hold it.
    """
    if segmentation.GetParentTransformNode() is not None:
        raise ModuleError(
            f"{segmentation.GetName()} lies under a transform; harden it in the Transforms module."
        )
    pairs = sorted(_values(segmentation, table), key=lambda pair: table.values.index(pair[1]))
    shape = reference.GetImageData().GetDimensions()[::-1]
    found = [segmentation.GetSegmentation().GetSegment(segment_id) for segment_id, _ in pairs]
    drawn = [(segment.GetRepresentation(LABELMAP), segment.GetLabelValue()) for segment in found]
    if not all(image is not None and _fits(image, reference) for image, _ in drawn):
        merged = _merged(segmentation, pairs, reference)  # drawn finer, say, or as a surface
        check_nothing_is_lost(drawn, merged.voxels, reference, segmentation.GetName())
        return Drawn(shape, tuple((merged, number, value) for number, (_, value) in enumerate(pairs, 1)))
    check_nothing_is_lost(drawn, None, reference, segmentation.GetName())
    layers: dict[str, Layer] = {}
    segments = []
    for (_, value), (image, number) in zip(pairs, drawn):
        if image.IsEmpty():
            continue
        key = image.GetAddressAsString("")
        if key not in layers:
            array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
            voxels = array.reshape(image.GetDimensions()[::-1]).copy()
            layers[key] = Layer(voxels, tuple(image.GetExtent()[4::-2]))
        segments.append((layers[key], number, value))
    return Drawn(shape, tuple(segments))


def state_of(segmentation: Any) -> str:
    """Return a text that changes when somebody draws: Slicer's effects do not touch the segmentation's own time.

    It is the same again after the scene was saved and opened, which packs the voxels in another way.
    """
    segments, parts = segmentation.GetSegmentation(), []
    for number in range(segments.GetNumberOfSegments()):
        segment = segments.GetNthSegment(number)
        image = segment.GetRepresentation(LABELMAP)
        scalars = image.GetPointData().GetScalars() if image is not None and not image.IsEmpty() else None
        layer = None
        if scalars is not None:
            voxels = numpy_support.vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
            layer = Layer(voxels, tuple(image.GetExtent()[4::-2]))
        parts.append((segment.GetName(), segment.GetLabelValue(), layer))
    return _state(parts)


def state_as_imported(labels: Labelmap, table: LabelTable) -> str:
    """Return the `state_of` the segmentation that `import_labels` makes of a label map; for a thread."""
    layer = Layer(labels.voxels[labels.box], tuple(side.start for side in labels.box)) if labels.box else None
    return _state([(structure.name, structure.value, layer) for structure in table.structures])


def has_unsent_changes(segmentation: Any, state: str) -> bool:
    """Tell whether something was drawn in a segmentation since it came, or was begun, that was not sent.

    state: its `state_of`, which looks at every voxel.
    """
    return state not in (segmentation.GetAttribute(ops.PROPOSED), segmentation.GetAttribute(ops.SENT))


def _state(parts: list[tuple[str, int, Layer | None]]) -> str:
    """Return the state of segments: for each its name, its number in a layer, and that."""
    state = 0
    for name, number, layer in parts:
        state = zlib.crc32(name.encode(), state)
        if layer is None:
            continue
        z, y, x = layer.corner
        for place, plane in enumerate(layer.voxels, z):  # see `labelmap.count`
            rows, columns = np.nonzero(plane == number)
            if len(rows):
                inside = np.stack([rows + y, columns + x])
                state = zlib.crc32(inside.astype(np.int32).tobytes(), zlib.crc32(str(place).encode(), state))
    return f"{state:08x}"


def _fits(image: Any, reference: Any) -> bool:
    """Tell whether voxels lie where those of the reference do; how many there are does not matter."""
    if image.IsEmpty():
        return True
    apart = np.linalg.inv(ops.affine(reference)) @ place_of(image) - np.eye(4)
    far = np.array([*reference.GetImageData().GetDimensions(), 1])
    return bool((np.abs(apart) @ far).max() < _VOXELS)


def _merged(segmentation: Any, pairs: list[tuple[str, int]], reference: Any) -> Layer:
    """Return all segments on the reference's grid, put there by Slicer, with their places in `pairs`, from 1."""
    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for number, (segment_id, _) in enumerate(pairs, 1):
        ids.InsertNextValue(segment_id)
        values.InsertNextValue(number)
    merged = slicer.vtkOrientedImageData()
    mode = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    if not segmentation.GenerateMergedLabelmapForAllSegments(
        merged, mode, ops.geometry_of(reference), ids, values
    ):
        raise ModuleError(
            f"{segmentation.GetName()} could not be turned into a label map; save the scene and try again."
        )
    shape = merged.GetDimensions()[::-1]
    if shape != reference.GetImageData().GetDimensions()[::-1]:
        raise ModuleError(f"{segmentation.GetName()} could not be put on the grid of {reference.GetName()}.")
    array = numpy_support.vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(shape)
    return Layer(array.astype(np.uint8), (0, 0, 0))


def _values(segmentation: Any, table: LabelTable) -> list[tuple[str, int]]:
    by_name = {structure.name.strip().lower(): structure.value for structure in table.structures}
    segments = segmentation.GetSegmentation()
    pairs = []
    for number in range(segments.GetNumberOfSegments()):
        segment_id, segment = segments.GetNthSegmentID(number), segments.GetNthSegment(number)
        tag = vtk.reference("")
        value = (
            int(str(tag)) if segment.GetTag(VALUE, tag) else by_name.get(segment.GetName().strip().lower())
        )
        if value in table.values:
            pairs.append((segment_id, value))
        elif _has_content(segment):
            names = ", ".join(structure.name for structure in table.structures)
            raise ModuleError(
                f"The segment “{segment.GetName()}” is none of the model's structures ({names}); give it one of these "
                "names, or delete it."
            )
    return pairs


def _has_content(segment: Any) -> bool:
    image = segment.GetRepresentation(LABELMAP)
    if image is None or image.IsEmpty():
        return False
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return bool((array == segment.GetLabelValue()).any())
