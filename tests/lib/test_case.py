"""The label map of a study: on the voxels of one of its sequences, whoever saved it."""

import numpy as np
import pytest
from heads import oblique

from brainmvp.case import Case, read_label
from brainmvp.errors import BrainMVPError
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

TUMOUR = get_task("tumour")
AFFINE = oblique((1.0, 1.2, 3.0), "LPS")


@pytest.fixture
def study(tmp_path):
    """A study of one sequence, and the label map that belongs to it."""
    labels = np.zeros((12, 14, 8), np.uint8)
    labels[3:9, 4:10, 2:6] = 2
    labels[5:7, 6:8, 3:5] = 3
    write_volume(Volume(np.ones(labels.shape, np.int16), AFFINE), tmp_path / "s" / "t1ce.nii.gz")
    return Study.from_folder(tmp_path / "s"), labels


def at(index):
    """Return the affine of a box that begins at a voxel."""
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [*index, 1])[:3]
    return affine


def read(study, data, affine):
    path = write_volume(Volume(np.ascontiguousarray(data), affine), study.folder / "drawn_seg.nii.gz")
    return read_label(TUMOUR, Case(study, path))[0].data


def test_a_box_of_a_sequence_s_voxels_is_put_in_its_place(study):
    study, labels = study
    assert np.array_equal(read(study, labels[2:10, 4:, 1:7], at((2, 4, 1))), labels)
    beyond = np.pad(labels, 2)
    assert np.array_equal(read(study, beyond, at((-2, -2, -2))), labels)


def test_another_order_of_the_axes_is_the_same_label_map(study):
    study, labels = study
    turned = at((11, 0, 0)) @ np.diag([-1.0, 1, 1, 1])
    assert np.array_equal(read(study, labels[::-1], turned), labels)
    assert np.array_equal(read(study, labels.transpose(2, 0, 1), AFFINE[:, [2, 0, 1, 3]]), labels)


@pytest.mark.parametrize(
    "affine",
    [at((0.5, 0, 0)), at((-4, 0, 0)), AFFINE @ np.diag([2.0, 2, 2, 1]), oblique((1, 1.2, 3), "LPS", 16)],
)
def test_between_or_outside_the_voxels_it_is_refused(study, affine):
    study, labels = study
    with pytest.raises(BrainMVPError, match="lies on the grid of none"):
        read(study, labels, affine)
