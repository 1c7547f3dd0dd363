"""The label tables: one meaning per value, whatever convention a file was written in."""

import numpy as np
import pytest

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task, task_names


def test_the_tasks_are_found_and_an_unknown_one_lists_them():
    assert {"stroke", "tumour"} <= set(task_names())
    with pytest.raises(BrainMVPError, match="stroke, tumour"):
        get_task("liver")


@pytest.mark.parametrize("name", task_names())
def test_every_task_is_consistent(name):
    task = get_task(name)
    values = [label.value for label in task.labels]
    assert len(set(values)) == len(values) and min(values) > 0
    assert set(task.read_as.values()) <= set(values)
    for outer, inner in zip(task.regions, task.regions[1:], strict=False):
        assert set(inner.labels) < set(outer.labels)
    assert set(task.reference) == set(task.sequences)
    assert all(label.code.scheme == "SCT" and label.code.value.isdecimal() for label in task.labels)


@pytest.mark.parametrize("enhancing", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_both_brats_conventions_mean_enhancing_tumour(enhancing, dtype):
    labels = np.array([0, 1, 2, enhancing], dtype).reshape(4, 1, 1)
    result = get_task("tumour").read_labels(labels)
    assert result.dtype == np.uint8
    assert result.ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [5, 1.5, -1])
def test_unknown_values_are_refused_by_name(value):
    with pytest.raises(BrainMVPError, match=rf"case\.nii\.gz holds the values {value}"):
        get_task("tumour").read_labels(np.array([[[0, value]]], np.float32), "case.nii.gz")


def test_regions_and_labels_are_each_others_inverse():
    task = get_task("tumour")
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    masks = dict(zip(("WT", "TC", "ET"), task.regions_of(labels), strict=True))
    assert [masks[name].sum() for name in masks] == [
        (labels > 0).sum(),
        np.isin(labels, (1, 3)).sum(),
        (labels == 3).sum(),
    ]
    assert np.array_equal(task.labels_of(masks), labels)


def test_an_inner_region_never_reaches_outside_the_outer_one():
    inside, outside = np.array([[[True, False]]]), np.array([[[True, True]]])
    labels = get_task("tumour").labels_of({"WT": inside, "TC": outside, "ET": outside})
    assert labels.tolist() == [[[3, 0]]]


def test_without_contrast_core_and_enhancement_are_not_offered_and_the_label_is_not_called_oedema():
    task = get_task("tumour")
    offered, left_out = task.offered({Sequence.FLAIR, Sequence.T1})
    assert [region.name for region in offered] == ["WT"]
    assert "T1CE" in left_out["TC"] and "T1CE" in left_out["ET"]
    assert task.label_names(["WT"]) == {2: "Whole tumour"}
    assert task.label_names(["WT", "TC", "ET"])[2] == "Peritumoural oedema"


def test_below_the_minimum_the_missing_sequence_is_named():
    with pytest.raises(BrainMVPError, match="s1: the stroke task needs DWI"):
        get_task("stroke").check_sequences({Sequence.FLAIR}, "s1")
    get_task("stroke").check_sequences({Sequence.DWI}, "s1")
