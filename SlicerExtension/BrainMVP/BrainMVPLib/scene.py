"""What the module does to the MRML scene; the scene comes from outside. For the main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .errors import ModuleError
from .study import VolumeFacts

# Marks on nodes that the module made. Only nodes with the study's mark ever go away with the study.
STUDY = "BrainMVP.Study"
VISIT = "BrainMVP.Visit"  # the study that a volume was opened with, and stayed behind from
SEQUENCE = "BrainMVP.Sequence"
ROLE = "BrainMVP.Role"
# What was drawn (`drawn.state_of`) as it was sent, and as it came.
SENT = "BrainMVP.Sent"
PROPOSED = "BrainMVP.Proposed"
_SAME_GRID_MM = 1e-2


def load_volume(scene: Any, path: Path, name: str) -> Any:
    """Read a file into a new volume node; raises `ModuleError` naming the file, and leaves nothing behind."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)
    if not storage.ReadData(node) or node.GetImageData() is None:
        scene.RemoveNode(storage)
        scene.RemoveNode(node)
        raise ModuleError(
            f"{path.name} cannot be read as a volume; it may be damaged, get it again.", str(path)
        )
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    node.SetName(name)
    return node


def mark(node: Any, study: str, role: str, sequence: str = "") -> None:
    """Note on a node what it is to the module: of which study, and as what."""
    for attribute, value in ((STUDY, study), (ROLE, role), (SEQUENCE, sequence)):
        node.SetAttribute(attribute, value or None)


def remove_study(scene: Any, study: str) -> list[Path]:
    """Remove the nodes that carry a study's mark, and nothing else; return the files that they came from."""
    files = []
    for node in nodes_of(scene, "vtkMRMLDisplayableNode"):
        if node.GetAttribute(STUDY) == study:
            storage = node.GetStorageNode()
            files += [Path(storage.GetFileName())] if storage is not None and storage.GetFileName() else []
            remove(scene, node)
    return files


def release_studies(scene: Any) -> None:
    """Take the studies' marks off all nodes, so that none goes away with a study; volumes keep whose they were."""
    for node in nodes_of(scene, "vtkMRMLDisplayableNode"):
        study = node.GetAttribute(STUDY)
        if study:
            node.SetAttribute(VISIT, study)
            node.SetAttribute(STUDY, None)


def remove(scene: Any, node: Any) -> None:
    """Remove a node with its display and storage nodes."""
    belongings = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    belongings += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    if node.IsA("vtkMRMLSegmentationNode"):
        # Else each segment is cut out of the voxels that they share as the node goes: a pass over them for each.
        segments = node.GetSegmentation()
        for number in range(segments.GetNumberOfSegments()):
            segments.GetNthSegment(number).RemoveAllRepresentations()
    for other in filter(None, belongings):
        scene.RemoveNode(other)


def is_saved_in(scene: Any, folder: Path) -> bool:
    """Tell whether the file of the scene names files in a folder: a `.mrml`, for a bundle takes them along."""
    file = Path(scene.GetURL() or "")
    if file.suffix.lower() != ".mrml" or not file.is_file():
        return False
    try:
        return folder.name in file.read_text("utf-8", "replace")
    except OSError:
        return True  # it may


def nodes_of(scene: Any, kind: str) -> list[Any]:
    """Return the nodes of a class, in the order of the scene."""
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]


def volumes(scene: Any) -> list[VolumeFacts]:
    """Return the volumes that can be a sequence: no label maps, nothing hidden, nothing that the module computed."""
    return [
        VolumeFacts(
            node.GetID(),
            node.GetName() or "",
            node.GetAttribute(SEQUENCE),
            node.GetAttribute(STUDY) or node.GetAttribute(VISIT) or "",
        )
        for node in nodes_of(scene, "vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode")
        and not node.GetHideFromEditors()
        and node.GetImageData() is not None
        and node.GetAttribute(ROLE) in (None, "sequence")
    ]


def voxels(node: Any) -> np.ndarray:
    """Return a volume's voxels (Z, Y, X), not copied: a thread may read them also when the node is gone meanwhile."""
    image = node.GetImageData()
    if image.GetNumberOfScalarComponents() != 1:
        raise ModuleError(f"{node.GetName()} has several values a voxel; choose a plain volume.")
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return array.reshape(image.GetDimensions()[::-1])


def affine(node: Any) -> np.ndarray:
    """Return where a volume's voxels lie, (4, 4) index to RAS world in mm, with the linear transforms it is under."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise ModuleError(
                f"{node.GetName()} lies under a warping transform; harden it in the Transforms module."
            )
        to_world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(to_world)
        vtk.vtkMatrix4x4.Multiply4x4(to_world, matrix, matrix)
    return array_of(matrix)


def file_of(node: Any) -> Path | None:
    """Return the compressed file that holds exactly this volume, or None where it has to be written first."""
    storage = node.GetStorageNode()
    if storage is None or node.GetModifiedSinceRead() or node.GetParentTransformNode() is not None:
        return None
    path = Path(storage.GetFileName() or "")
    return path if path.name.lower().endswith(".nii.gz") and path.is_file() else None


def same_grid(node: Any, other: Any) -> bool:
    """Tell whether two volumes have the same shape and place every corner voxel within a hundredth of a millimetre."""
    shape = node.GetImageData().GetDimensions()
    if shape != other.GetImageData().GetDimensions():
        return False
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape])).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    return bool(np.abs((affine(node) - affine(other)) @ corners).max() <= _SAME_GRID_MM)


def array_of(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """Return a VTK matrix as (4, 4) numbers."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_of(values: np.ndarray) -> vtk.vtkMatrix4x4:
    """Return (4, 4) numbers as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(values.ravel().tolist())
    return matrix


def geometry_of(node: Any) -> Any:
    """Return the empty oriented image that has a volume's grid, in world coordinates."""
    grid = slicer.vtkOrientedImageData()
    grid.SetDimensions(node.GetImageData().GetDimensions())
    grid.SetGeometryFromImageToWorldMatrix(matrix_of(affine(node)))
    return grid
