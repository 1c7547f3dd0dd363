"""The label tables: one meaning per value, whatever convention a file was written in."""

import json

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.tasks import downstream_names, get_task, own_folder, task_names


def test_the_tasks_are_found_and_an_unknown_one_lists_them():
    assert {"stroke", "tumour"} <= set(task_names())
    with pytest.raises(BrainMVPError, match="stroke, tumour"):
        get_task("liver")


@pytest.mark.parametrize("name", [*task_names(), *downstream_names()])
def test_every_task_is_consistent(name):
    task = get_task(name)
    values = [label.value for label in task.labels]
    assert len(set(values)) == len(values) and min(values, default=1) > 0
    assert set(task.read_as.values()) <= set(values)
    assert set(task.reference) == set(task.sequences)
    assert all(task.accepts(set(alternative)) for alternative in task.minimum)
    categories = {
        (code.scheme_designator, code.value, code.meaning) for code in codes.cid7150.concepts.values()
    }
    assert {tuple(label.category.model_dump().values()) for label in task.labels} <= categories
    assert {result.region for result in task.published} <= {"mean", *task.outputs}
    assert {result.metric for result in task.published} <= set(task.metrics)


@pytest.mark.parametrize("name", ["tumour", "brats-ped-2023"])
def test_the_parts_of_a_tumour_have_the_codes_of_the_standard_s_brain_lesions(name):
    group = codes.cid7169  # without necrosis, which our label does not tell from what does not enhance
    expected = {"NCR": group.NonEnhancingLesion, "ED": group.Edema, "ET": group.EnhancingLesion}
    for label in get_task(name).labels:
        code = expected[label.key]
        assert (code.scheme_designator, code.value, code.meaning) == tuple(label.code.model_dump().values())


def test_tissue_is_no_abnormal_structure_and_its_codes_go_with_its_category():
    group = codes.cid7192  # what an Anatomical Structure can be
    expected = {"CF": group.CerebrospinalFluid, "GM": group.GrayMatter, "WM": group.WhiteMatter}
    for label in get_task("mrbrains-13").labels:
        assert label.category.meaning == "Anatomical Structure"
        assert (label.code.value, label.code.meaning) == expected[label.key][::2]


def test_codes_and_remarks_teach_nothing():
    told = json.dumps(get_task("tumour").meaning)
    assert "code" not in told and "may pass for" not in told


@pytest.mark.parametrize("name", ["stroke", "isles-2022"])
def test_diffusion_alone_does_not_prove_an_infarct_acute(name):
    task, (dwi, adc) = get_task(name), (Sequence.DWI, Sequence.ADC)
    (doubt,) = task.weaknesses(task.outputs, {dwi})
    assert doubt == "without ADC, an old lesion that shines through from T2 may pass for an acute infarct"
    assert task.weaknesses(task.outputs, {dwi, adc}) == task.weaknesses((), {dwi}) == []


def test_the_ten_published_tasks_are_there_and_are_not_served():
    tasks = [get_task(name) for name in downstream_names()]
    assert [task.kind for task in tasks].count("segmentation") == 6 and len(tasks) == 10
    assert all(task.published and task.data for task in tasks)
    assert not set(downstream_names()) & set(task_names())


def test_tissues_side_by_side_keep_their_own_labels():
    task = get_task("mrbrains-13")
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    assert not task.nested
    masks = task.regions_of(labels)
    assert np.array_equal(task.labels_of(masks), labels)


def test_a_hospital_adds_a_task_by_writing_a_data_file(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path))
    content = {"extends": "brats-ped-2023", "name": "our-gliomas", "title": "Gliomas, our hospital"}
    own_folder().mkdir()
    (own_folder() / "our-gliomas.json").write_text(json.dumps(content))
    task = get_task("our-gliomas")
    assert task.title == "Gliomas, our hospital" and task.outputs == ("WT", "TC", "ET")
    assert "our-gliomas" not in task_names()
    assert task.data is None and not task.published  # these are of the children of BraTS


def test_what_a_part_of_an_own_task_does_not_say_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path))
    own_folder().mkdir()
    parts = {"split": {"folds": 5}, "recipe": {"epochs": 7}, "lesions": {"dilation": 2}}
    for base in ("isles-2022", "adni"):
        (own_folder() / "ours.json").write_text(
            json.dumps({"extends": base, "name": "ours", "title": "Ours", **parts})
        )
        task, other = get_task("ours"), get_task(base)
        assert task.recipe == other.recipe.model_copy(update=parts["recipe"])
        assert task.split == other.split.model_copy(update=parts["split"])
        assert task.lesions == other.lesions.model_copy(update=parts["lesions"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no task"),
        ("[]", "is no task"),
        ('{"name": "bad"}', "title"),
        ('{"extends": "adni", "name": "bad", "classes": []}', "two or more classes"),
        ('{"extends": "isles-2022", "name": "other"}', "name the file other.json"),
        ('{"extends": "liver", "name": "bad"}', "no task named 'liver'"),
        ('{"extends": "bad", "name": "bad"}', r"bad\.json extends itself"),
        (
            '{"extends": "tumour", "name": "bad", "reference": ["T1CE"]}',
            "a study of FLAIR is accepted by minimum",
        ),
        ('{"extends": "tumour", "name": "bad", "read_as": {"9": 7}}', "read_as leads to a value"),
        (
            (
                '{"extends": "isles-2022", "name": "bad", "labels": [{"value": 1001, "key": "A", "name": "A", '
                '"color": [1, 2, 3], "code": {"scheme": "SCT", "value": "1", "meaning": "A"}}]}'
            ),
            "labels.0.value: Input should be less than or equal to 255",
        ),
        (
            (
                '{"extends": "mrbrains-13", "name": "bad", "regions": [{"name": "A", "title": "A", "labels": [1, 2],'
                '"requires": []}, {"name": "B", "title": "B", "labels": [2, 3], "requires": []}]}'
            ),
            "no label in common",
        ),
    ],
)
def test_a_bad_data_file_is_refused_in_one_sentence(tmp_path, monkeypatch, content, sentence):
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path))
    own_folder().mkdir()
    (own_folder() / "bad.json").write_text(content)
    with pytest.raises(BrainMVPError, match=sentence) as caught:
        get_task("bad")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("enhancing", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_both_brats_conventions_mean_enhancing_tumour(enhancing, dtype):
    labels = np.array([0, 1, 2, enhancing], dtype).reshape(4, 1, 1)
    result = get_task("tumour").read_labels(labels)
    assert result.dtype == np.uint8
    assert result.ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [5, 1.5, -1])
def test_unknown_values_are_refused_by_name(value):
    with pytest.raises(BrainMVPError, match=rf"case\.nii\.gz holds the value {value}"):
        get_task("tumour").read_labels(np.array([[[0, value]]], np.float32), "case.nii.gz")


def test_regions_and_labels_are_each_others_inverse():
    task = get_task("tumour")
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    masks = task.regions_of(labels)
    assert {name: mask.sum() for name, mask in masks.items()} == {
        "WT": (labels > 0).sum(),
        "TC": np.isin(labels, (1, 3)).sum(),
        "ET": (labels == 3).sum(),
    }
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
    (whole,) = task.described(task.label_names(["WT"]))
    assert (whole.value, whole.key, whole.name, whole.code.meaning) == (2, "WT", "Whole tumour", "Neoplasm")
    assert task.described(task.label_names(["WT", "TC", "ET"])) == task.described() == list(task.labels)


def test_below_the_minimum_the_missing_sequence_is_named():
    with pytest.raises(BrainMVPError, match="s1: the stroke task needs DWI"):
        get_task("stroke").check_sequences({Sequence.FLAIR}, "s1")
    get_task("stroke").check_sequences({Sequence.DWI}, "s1")
