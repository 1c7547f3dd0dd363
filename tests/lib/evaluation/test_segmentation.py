"""A case is scored on the grid that its masks lie on."""

import numpy as np
from labelled import make_case

from brainmvp.brain import Brain
from brainmvp.case import Case, read_label
from brainmvp.evaluation.segmentation import reliability, score_case
from brainmvp.phantom import make_phantom
from brainmvp.phantom.write import write_study
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, resample_labels
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume

STROKE = get_task("stroke")
BRAIN = Brain(np.ones((1, 1, 1), bool), "built-in")  # not what is scored


class Calibrated:
    """Gives most of the brain half a per cent, some of it 40 %, and `truth` is drawn by just that."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        draw = np.random.default_rng(0)
        self.said = np.where(draw.random(shape) < 0.05, 0.4, 0.005).astype(np.float32)
        self.truth = (draw.random(shape) < self.said).astype(np.uint8)

    def segment(self, study, reference=None):
        nothing = Volume(np.zeros_like(self.truth), read_volume(study.images[reference]).affine)
        return Segmentation(study, STROKE, "calibrated@1", nothing, {STROKE.outputs[0]: self.said}, self.said,
                            reference, (), (), {}, {}, BRAIN)  # fmt: skip


class Fixed:
    """Finds the same labels in every FLAIR."""

    def __init__(self, label: Volume) -> None:
        self.labels = label

    def segment(self, study, reference=None):
        mask = (self.labels.data > 0).astype(np.float32)
        return Segmentation(study, STROKE, "fixed@1", self.labels, {STROKE.outputs[0]: mask}, mask, Sequence.FLAIR, (),
                            (), {}, {}, BRAIN)  # fmt: skip


class OneVoxelOff(Fixed):
    """Finds what is there, one voxel of a grid of 4 mm beside it."""

    def __init__(self, label: Volume) -> None:
        grid = Grid(tuple(n // 2 for n in label.shape), label.affine @ np.diag([2.0, 2, 2, 1]))
        true = resample_labels(label.data, label.affine, grid)
        super().__init__(Volume(np.roll(true, 1, 0), grid.affine))


def test_distances_are_of_the_grid_of_the_result(tmp_path):
    case = make_case(STROKE, "a", tmp_path)  # of 2 mm
    label, sequence = read_label(STROKE, case)
    assert sequence is not Sequence.FLAIR
    score = score_case(STROKE, OneVoxelOff(label), case, only=(Sequence.FLAIR,), pictures=False)
    assert score.regions[STROKE.outputs[0]]["hd95"] == 4.0


def test_a_head_that_moved_between_two_sequences_takes_its_label_along(tmp_path):
    phantom = make_phantom(3, "stroke", difficulty=0.0, sequences=STROKE.sequences, disease="stroke")
    write_study(tmp_path / "a", phantom)
    study = Study.from_folder(tmp_path / "a")
    label, flair = read_volume(study.label), read_volume(study.images[Sequence.FLAIR])
    moved = flair.affine.copy()
    moved[:3, 3] += (12, 12, 0)
    write_volume(Volume(flair.data, moved), study.images[Sequence.FLAIR])
    right = Fixed(Volume((label.data > 0).astype(np.uint8), moved))
    case = Case(study, study.label, patient="a")
    score = score_case(STROKE, right, case, only=(Sequence.FLAIR,), pictures=False)
    assert score.regions[STROKE.outputs[0]]["dice"] > 0.9


def test_a_row_of_the_page_keeps_no_volume(tmp_path):
    case = make_case(STROKE, "a", tmp_path)
    row = score_case(STROKE, OneVoxelOff(read_label(STROKE, case)[0]), case, only=(Sequence.FLAIR,)).row
    for shown in (row.image, row.truth, row.found):
        assert shown.ndim == 2 and shown.base is None


def test_probabilities_that_mean_what_they_say_have_no_calibration_error(tmp_path):
    case = make_case(STROKE, "a", tmp_path)
    label = read_label(STROKE, case)[0]
    model = Calibrated(label.shape)
    write_volume(Volume(model.truth, label.affine), case.label)
    score = score_case(STROKE, model, case, pictures=False)
    assert reliability([score])[STROKE.outputs[0]].error < 0.03
