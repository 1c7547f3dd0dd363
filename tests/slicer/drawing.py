"""What tests draw into segmentations, as Slicer's effects do, and how they wait."""

import time

import numpy as np
from BrainMVPLib import scene as ops
from BrainMVPLib.shared import shared_package
from BrainMVPLib.tables import load_tasks
from vtk.util import numpy_support

TUMOUR = load_tasks(shared_package() / "tasks")["tumour"].table


def drawn(values):
    """Return voxels (Z, Y, X) with a box for each value, one inside the other."""
    labels = np.zeros((20, 26, 32), np.uint8)
    for number, value in enumerate(values):
        labels[3 + number : 14 - number, 4 + 2 * number : 20 - number, 5 + number : 25 - 2 * number] = value
    return labels


def segments(segmentation):
    inside = segmentation.GetSegmentation()
    return [inside.GetNthSegment(number) for number in range(inside.GetNumberOfSegments())]


def paint(segmentation, number, box):
    """Add a box (slices of Z, Y, X) to a segment, as the Segment Editor does."""
    segment = segments(segmentation)[number]
    image = segment.GetRepresentation("Binary labelmap")
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    low = image.GetExtent()[4::-2]
    array[tuple(slice(s.start - o, s.stop - o) for s, o in zip(box, low, strict=True))] = (
        segment.GetLabelValue()
    )
    image.GetPointData().GetScalars().Modified()
    image.Modified()


def draw(segmentation, plane=4):
    """Draw as Slicer's effects may, which leaves the segmentation's own time as it was."""
    before = segmentation.GetSegmentation().GetMTime()
    paint(segmentation, 0, (slice(plane, plane + 1), slice(5, 8), slice(4, 8)))
    assert segmentation.GetSegmentation().GetMTime() == before


def change(node):
    """Change a voxel, as a filter of Slicer would."""
    ops.voxels(node)[0, 0, 0] += 1
    node.GetImageData().GetPointData().GetScalars().Modified()
    node.GetImageData().Modified()


def until(happened, seconds=20):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def fill(segmentation, reference):
    """Draw a box of 27 voxels in the first segment."""
    box = np.zeros(ops.voxels(reference).shape, np.uint8)
    box[8:11, 8:11, 8:11] = 1
    image = ops.geometry_of(reference)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(box.ravel(), deep=True))
    segments(segmentation)[0].AddRepresentation("Binary labelmap", image)
    segments(segmentation)[0].SetLabelValue(1)
