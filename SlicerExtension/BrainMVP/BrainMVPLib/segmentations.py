"""Label maps to segmentations, with the values that the table says; `drawn` has the way back.

Slicer's own import and export renumber values unless both are given the same colours; here every segment carries its
value with it, so that renaming, reordering or an empty segment change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from vtk.util import numpy_support

from . import scene as ops
from .labelmap import Labelmap
from .tables import LabelTable, Structure

VALUE = "BrainMVP.Value"
LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


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
        segment.AddRepresentation(LABELMAP, image)
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


def _describe(segment: Any, structure: Structure) -> None:
    segment.SetName(structure.name)
    segment.SetColor(*(channel / 255 for channel in structure.color))
    segment.SetTag(VALUE, str(structure.value))
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
