"""What tests draw into segmentations, as Slicer's effects do, and how they wait."""

import time

import numpy as np
from BrainMVPLib import scene as ops
from test_slicer_labels import paint, segments
from vtk.util import numpy_support


def draw(segmentation, plane=4):
    """Draw as Slicer's effects may, which leaves the segmentation's own time as it was."""
    before = segmentation.GetSegmentation().GetMTime()
    paint(segmentation, 0, (slice(plane, plane + 1), slice(5, 8), slice(4, 8)))
    assert segmentation.GetSegmentation().GetMTime() == before


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
