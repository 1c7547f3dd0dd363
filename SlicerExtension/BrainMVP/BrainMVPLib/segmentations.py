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
from .tables import LabelTable, Structure

_VALUE = "BrainMVP.Value"


def import_labels(
    scene: Any, labelmap: Any, table: LabelTable, reference: Any, name: str, source: str
) -> Any:
    """Return a new segmentation of a label map, with a segment for every structure of the table, empty or not.

    Raises `ModuleError` naming `source`, and adds nothing, if the label map does not lie on the grid of `reference`
    or holds a value that is not in the table.
    """
    if not ops.same_grid(labelmap, reference):
        shapes = ["x".join(map(str, node.GetImageData().GetDimensions())) for node in (labelmap, reference)]
        raise ModuleError(
            f"{source} does not lie on the grid of {reference.GetName()} ({shapes[0]} against {shapes[1]} voxels, or "
            "another place); nothing was changed. Send the study again, or ask whoever runs the server."
        )
    table.check(np.unique(ops.voxels(labelmap)).tolist(), source)
    segmentation = new_segmentation(scene, reference, name)
    colors = _color_table(scene, table)
    labelmap.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.ImportLabelmapToSegmentationNode(labelmap, segmentation, ""):
        scene.RemoveNode(segmentation)
        scene.RemoveNode(colors)
        raise ModuleError(f"{source} could not be turned into segments; nothing was changed.")
    imported = segmentation.GetSegmentation()
    by_key = {
        imported.GetNthSegment(n).GetName(): imported.GetNthSegmentID(n)
        for n in range(imported.GetNumberOfSegments())
    }
    for structure in table.structures:
        segment_id = by_key.get(_key(structure)) or imported.AddEmptySegment()
        _describe(imported.GetSegment(segment_id), structure)
        imported.SetSegmentIndex(segment_id, table.structures.index(structure))
    scene.RemoveNode(colors)
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
    image = segment.GetRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    )
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


def _key(structure: Structure) -> str:
    # Colours are matched by name, and a name may stand for two values in somebody's table.
    return f"{structure.value}:{structure.name}"


def _color_table(scene: Any, table: LabelTable) -> Any:
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "BrainMVP labels")
    colors.SetTypeToUser()
    colors.SetHideFromEditors(True)
    colors.SetNumberOfColors(max(table.values, default=0) + 1)
    colors.SetColor(0, "background", 0, 0, 0, 0)
    for structure in table.structures:
        colors.SetColor(structure.value, _key(structure), *(channel / 255 for channel in structure.color), 1)
    return colors
