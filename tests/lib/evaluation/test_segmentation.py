"""A case is scored on the grid that its masks lie on."""

import numpy as np
from labelled import make_case

from brainmvp.case import read_label
from brainmvp.evaluation.segmentation import score_case
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, resample_labels
from brainmvp.tasks import get_task
from brainmvp.volume import Volume

STROKE = get_task("stroke")


class OneVoxelOff:
    """Finds what is there, one voxel of a grid of 4 mm beside it."""

    def __init__(self, label: Volume) -> None:
        grid = Grid(tuple(n // 2 for n in label.shape), label.affine @ np.diag([2.0, 2, 2, 1]))
        self.true = resample_labels(label.data, label.affine, grid)
        self.labels = Volume(np.roll(self.true, 1, 0), grid.affine)

    def segment(self, study, reference=None):
        mask = (self.labels.data > 0).astype(np.float32)
        return Segmentation(study, STROKE, "off@1", self.labels, {STROKE.outputs[0]: mask}, mask, Sequence.FLAIR, (),
                            (), {}, {})  # fmt: skip


def test_distances_are_of_the_grid_of_the_result(tmp_path):
    case = make_case(STROKE, "a", tmp_path)  # of 2 mm
    label, sequence = read_label(STROKE, case)
    assert sequence is not Sequence.FLAIR
    score = score_case(STROKE, OneVoxelOff(label), case, only=(Sequence.FLAIR,), pictures=False)
    assert score.regions[STROKE.outputs[0]]["hd95"] == 4.0
