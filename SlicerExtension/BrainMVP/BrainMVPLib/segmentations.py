"""Label maps to segmentations and back, with the values that the table says.

Slicer's own import and export renumber values unless both are given the same colours; here every segment carries its
value with it, so that renaming, reordering or an empty segment change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from . import scene as ops
from .errors import ModuleError
from .labelmap import Labelmap
from .tables import LabelTable, Structure

_VALUE = "BrainMVP.Value"
_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def import_labels(
    scene: Any, labels: Labelmap, table: LabelTable, reference: Any, name: str, source: str
) -> Any:
    """Return a new segmentation of a label map on a volume's grid, with a segment for every structure, empty or not.

    All segments share the one label map, as they do after Slicer's own import, which would take a pass over the
    voxels, and the main thread's time, for each of them.

    Raises `ModuleError` naming `source`, and adds nothing, if the label map holds a value that is not in the table.
    """
    table.check(labels.values, source)
    if labels.box is None:
        return new_segmentation(scene, reference, name, table)
    segmentation = new_segmentation(scene, reference, name)
    image = _cropped(labels, reference)
    for structure in table.structures:
        segment = slicer.vtkSegment()
        segment.AddRepresentation(_LABELMAP, image)
        segment.SetLabelValue(structure.value)
        _describe(segment, structure)
        segmentation.GetSegmentation().AddSegment(segment)
    return segmentation


def new_segmentation(scene: Any, reference: Any, name: str, table: LabelTable | None = None) -> Any:
    """Return a new segmentation on the grid of a volume; with a table, one empty segment for each of its structures."""
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    for structure in table.structures if table else ():
        segments = segmentation.GetSegmentation()
        _describe(segments.GetSegment(segments.AddEmptySegment()), structure)
    return segmentation


def export_labels(segmentation: Any, table: LabelTable, reference: Any) -> np.ndarray:
    """Return the segmentation as a label map (Z, Y, X) uint8 on the grid of the reference, with the table's values.

    Where segments overlap, the structure that comes later in the table wins: tables go from the outside inwards.
    Raises `ModuleError` if a segment with content is none of the table's structures.
    """
    if segmentation.GetParentTransformNode() is not None:
        raise ModuleError(
            f"{segmentation.GetName()} lies under a transform; harden it in the Transforms module."
        )
    pairs = sorted(_values(segmentation, table), key=lambda pair: table.values.index(pair[1]))
    shape = reference.GetImageData().GetDimensions()[::-1]
    if not pairs:
        return np.zeros(shape, np.uint8)
    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for segment_id, value in pairs:
        ids.InsertNextValue(segment_id)
        values.InsertNextValue(value)
    merged = slicer.vtkOrientedImageData()
    mode = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    if not segmentation.GenerateMergedLabelmapForAllSegments(
        merged, mode, ops.geometry_of(reference), ids, values
    ):
        raise ModuleError(
            f"{segmentation.GetName()} could not be turned into a label map; save the scene and try again."
        )
    array = numpy_support.vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(
        merged.GetDimensions()[::-1]
    )
    if array.shape != shape:
        raise ModuleError(f"{segmentation.GetName()} could not be put on the grid of {reference.GetName()}.")
    return array.astype(np.uint8)


def _values(segmentation: Any, table: LabelTable) -> list[tuple[str, int]]:
    by_name = {structure.name.strip().lower(): structure.value for structure in table.structures}
    segments = segmentation.GetSegmentation()
    pairs = []
    for number in range(segments.GetNumberOfSegments()):
        segment_id, segment = segments.GetNthSegmentID(number), segments.GetNthSegment(number)
        tag = vtk.reference("")
        value = (
            int(str(tag)) if segment.GetTag(_VALUE, tag) else by_name.get(segment.GetName().strip().lower())
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
    image = segment.GetRepresentation(_LABELMAP)
    if image is None or image.IsEmpty():
        return False
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return bool((array == segment.GetLabelValue()).any())


def _describe(segment: Any, structure: Structure) -> None:
    segment.SetName(structure.name)
    segment.SetColor(*(channel / 255 for channel in structure.color))
    segment.SetTag(_VALUE, str(structure.value))
    if structure.terminology:
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.terminology)


def _cropped(labels: Labelmap, reference: Any) -> Any:
    """Return the part of a label map that holds its labels: to copy less, and to draw less."""
    image = slicer.vtkOrientedImageData()
    z, y, x = labels.box
    image.SetExtent(x.start, x.stop - 1, y.start, y.stop - 1, z.start, z.stop - 1)
    image.SetGeometryFromImageToWorldMatrix(ops.matrix_of(ops.affine(reference)))
    inside = np.ascontiguousarray(labels.voxels[labels.box])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(inside.ravel(), deep=True))
    return image
