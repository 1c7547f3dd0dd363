"""The label map of a study: on voxels of one of its sequences, with the structures that it names, whoever saved it."""

import numpy as np
import pytest
from heads import oblique

from brainmvp.case import Case, read_label
from brainmvp.errors import BrainMVPError
from brainmvp.segnrrd import write_seg_nrrd
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


def read_segments(study, data, change=(), names=None):
    """Return how a Slicer segmentation is read after its header was changed: pairs of texts, old and new."""
    path = write_seg_nrrd(Volume(data, AFFINE), TUMOUR, study.folder.parent / "x.seg.nrrd", names)
    content = path.read_bytes()
    for old, new in change:
        assert old.encode() in content
        content = content.replace(old.encode(), new.encode())
    path.write_bytes(content)
    return read_label(TUMOUR, Case(study, path))[0].data


SWAPPED = (
    ("Segment1_LabelValue:=2", "Segment1_LabelValue:=3"),
    ("Segment2_LabelValue:=3", "Segment2_LabelValue:=2"),
)


@pytest.mark.parametrize(
    "names",
    [
        (),
        (
            ("_ID:=ED", "_ID:=Segment_1"),
            ("_ID:=ET", "_ID:=Segment_2"),
            ("Name:=Enhancing t", "Name:=enhancing  T"),
        ),
        (("_Name:=Peri", "_Name:=what swells, peri"), ("_Name:=Enh", "_Name:=what lights up, enh")),
        (("_Name:=Peritumoural oedema", "_Name:=Ödem"), ("_ID:=ED", "_ID:=Segment_1")),
    ],
)
def test_a_segment_is_what_it_is_called_whatever_its_value(study, names):
    study, labels = study
    swapped = np.choose(labels, [0, 1, 3, 2]).astype(np.uint8)
    assert np.array_equal(read_segments(study, swapped, (*SWAPPED, *names)), labels)
    assert np.array_equal(read_segments(study, labels), labels)


def test_a_whole_tumour_and_labels_without_names_are_read_by_value(study):
    study, labels = study
    whole = np.where(labels, 2, 0).astype(np.uint8)
    assert np.array_equal(read_segments(study, whole, names={2: "Whole tumour"}), whole)
    unnamed = [(f"Segment{i}_LabelValue", f"Segment{i}_Value") for i in range(3)]
    assert np.array_equal(read_segments(study, labels, unnamed), labels)


def test_a_segment_is_told_by_a_code_of_before(study):
    study, labels = study
    labels[3, 4, 2] = 1
    before = (
        ("_Name:=Necrotic and non-enhancing tumour core", "_Name:=Kern"),
        ("_ID:=NCR", "_ID:=Segment_4"),
    )
    before += (("NCIt^C81175^Non-Enhancing Lesion", "SCT^6574001^Necrosis"),)
    assert np.array_equal(read_segments(study, labels, before), labels)


def test_a_segment_of_another_name_is_refused_where_it_marks_something(study):
    study, labels = study
    cyst = (("_Name:=Necrotic and non-enhancing tumour core", "_Name:=Cyst"), ("_ID:=NCR", "_ID:=Segment_4"))
    cyst += (("NCIt^C81175^Non-Enhancing Lesion", "SCT^12345^Cyst"),)
    assert np.array_equal(read_segments(study, labels, cyst), labels)
    labels[3, 4, 2] = 1
    with pytest.raises(
        BrainMVPError, match=r"x.seg.nrrd holds the segment “Cyst”, .* call it by its name \(Necro"
    ):
        read_segments(study, labels, cyst)
    # The code of the whole tumour, which enhancing tumour once had as well, tells no part of it.
    tumour = (("_Name:=Enhancing tumour", "_Name:=Tumor"), ("_ID:=ET", "_ID:=Segment_3"))
    assert np.array_equal(read_segments(study, labels, tumour), labels)
    tumour += (("NCIt^C113842^Enhancing Lesion", "SCT^108369006^Neoplasm"),)
    with pytest.raises(BrainMVPError, match="the segment “Tumor”"):
        read_segments(study, labels, tumour)
    with pytest.raises(BrainMVPError, match="the value 1 without a segment"):
        read_segments(study, labels, (("Segment0_LabelValue", "Segment0_Value"),))
