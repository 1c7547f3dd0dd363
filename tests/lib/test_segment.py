"""A study goes in, a segmentation on its own grid comes out."""

import itertools

import nibabel as nib
import nrrd
import numpy as np
import pytest
import torch
from scipy import ndimage

from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore
from brainmvp.segment import Segmenter, predict_logits
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.volume import Volume


@pytest.fixture(scope="module")
def tumour(tiny_models):
    return Segmenter.load("tumour", device="cpu", store=ModelStore(tiny_models))


def test_the_result_lies_on_the_references_grid_bit_for_bit(tumour, write_study):
    study = Study.from_folder(write_study("p1", "T1 T1CE T2 FLAIR"))
    for reference in study.images:
        result = tumour.segment(study, reference)
        source = nib.load(study.images[reference])
        written = nib.load(result.save(study.folder / "out" / "label.nii.gz"))
        assert written.shape == source.shape and np.array_equal(written.affine, source.affine)
        assert result.reference is reference
        assert result.uncertainty.shape == source.shape


def test_nothing_is_marked_outside_the_head(tumour, write_study):
    study = Study.from_folder(write_study("p1", "T1CE"))
    result = tumour.segment(study)
    image = nib.load(study.images[Sequence.T1CE]).get_fdata()
    far = image[result.labels.data > 0] == 0
    assert far.mean() < 0.15  # the edge of the head, at the working grid's resolution


@pytest.mark.parametrize("number", [1, 2, 3])
def test_any_subset_works_and_the_result_says_what_was_filled(tumour, write_study, number):
    task = tumour.task
    for index, subset in enumerate(itertools.islice(itertools.combinations(task.sequences, number), 3)):
        if set(subset) == {Sequence.T1}:  # below the minimum
            continue
        study = Study.from_folder(write_study(f"p{index}", " ".join(subset)))
        report = tumour.segment(study).report()
        assert report["sequences_used"] == [s.value for s in task.sequences if s in subset]
        assert set(report["sequences_filled"]) == {s.value for s in task.sequences} - {
            s.value for s in subset
        }
        assert ("TC" in report["left_out"]) == (Sequence.T1CE not in subset)


def test_the_notes_tell_what_the_model_is_weak_at_with_just_these_sequences(tumour, write_study, monkeypatch):
    card = tumour.card.model_copy(update={"weak_with": {"T1+FLAIR": "it misses some", "T2": "another"}})
    monkeypatch.setattr(tumour, "card", card)
    for name, used in {"p1": "FLAIR T1", "p2": "T1 T1CE T2 FLAIR", "p3": "FLAIR"}.items():
        report = tumour.segment(Study.from_folder(write_study(name, used))).report()
        assert report["notes"] == (["it misses some"] if name == "p1" else [])


@pytest.mark.parametrize(
    ("used", "note"),
    [
        ("T1CE FLAIR", "without T1, what was bright before the contrast agent"),
        ("T1 T1CE", None),
        ("T2", None),  # no enhancement is offered
    ],
)
def test_enhancement_without_a_scan_before_contrast_is_doubted(tumour, write_study, used, note):
    notes = tumour.segment(Study.from_folder(write_study("p1", used))).notes
    assert [one.startswith(note or "-") for one in notes] == [True] * bool(note)


def test_the_result_knows_which_pieces_are_too_small_to_be_marked(tumour, write_study, monkeypatch):
    study = Study.from_folder(write_study("p1", "T1CE"))
    for limit, told in ((0.0, 0.0), (1e-6, 0.0), (0.5, 0.5)):  # one voxel is more than the second
        monkeypatch.setattr(tumour, "card", tumour.card.model_copy(update={"minimum_lesion_ml": limit}))
        result = tumour.segment(study)
        assert result.report()["minimum_lesion_ml"] == told
        pieces, count = ndimage.label(result.labels.data > 0)
        sizes = np.bincount(pieces.ravel())[1:] * result.labels.voxel_ml
        assert not count or sizes.min() >= told


def test_an_image_without_a_head_is_named(tumour, tmp_path):
    speck = np.zeros((20, 20, 20), np.int16)
    speck[7, 7, 7] = 100
    nib.save(nib.Nifti1Image(speck, np.diag([0.5, 0.5, 0.5, 1])), tmp_path / "p_t1ce.nii.gz")
    with pytest.raises(BrainMVPError, match=r"p_t1ce\.nii\.gz shows no head"):
        tumour.segment(Study.from_folder(tmp_path))


def test_the_same_study_gives_the_same_result(tumour, write_study):
    study = Study.from_folder(write_study("p1", "T1CE FLAIR"))
    assert np.array_equal(tumour.segment(study).labels.data, tumour.segment(study).labels.data)


def test_probabilities_are_nested_and_volumes_agree_with_the_labels(tumour, write_study):
    result = tumour.segment(Study.from_folder(write_study("p1", "T1 T1CE T2 FLAIR")))
    wt, tc, et = (result.probabilities[name] for name in ("WT", "TC", "ET"))
    assert (tc <= wt).all() and (et <= tc).all()
    voxel = abs(np.linalg.det(result.labels.affine[:3, :3])) / 1000
    for value, name in result.label_names.items():
        assert result.volumes_ml[name] == pytest.approx((result.labels.data == value).sum() * voxel, abs=1e-3)
    assert result.regions_ml["WT"] == pytest.approx(sum(result.volumes_ml.values()), abs=1e-2)
    whole, core, enhancing, *parts = result.measured_ml.items()
    assert whole == ("Whole tumour (with oedema)", result.regions_ml["WT"])
    assert (core[0], enhancing[0]) == ("Tumour core", "Enhancing tumour")
    assert dict([enhancing, *parts]) == result.volumes_ml
    without = tumour.segment(Study.from_folder(write_study("p2", "FLAIR")))
    assert list(without.measured_ml) == ["Whole tumour (with oedema)"]


def test_progress_is_told_in_order(tumour, write_study):
    told = []
    tumour.segment(
        Study.from_folder(write_study("p1", "T1CE")), progress=lambda step, part: told.append(part)
    )
    assert told[0] == 0 and told[-1] == 1 and told == sorted(told)


def test_an_inner_region_is_filled_where_the_outer_one_cannot_be_shown(tumour, write_study, monkeypatch):
    regions = list(tumour.task.regions)
    assert regions[1].filled
    regions[0] = regions[0].model_copy(update={"requires": (Sequence.FLAIR,)})
    monkeypatch.setattr(tumour, "task", tumour.task.model_copy(update={"regions": tuple(regions)}))
    result = tumour.segment(Study.from_folder(write_study("p1", "T1CE")))
    assert list(result.probabilities) == ["TC", "ET"] and set(result.left_out) == {"WT"}


def test_specks_of_inner_regions_go_and_what_enhances_of_a_small_metastasis_stays(tumour, monkeypatch):
    limits = {"minimum_lesion_ml": 0.1, "spacing": 2.0, "thresholds": {}}
    monkeypatch.setattr(tumour, "card", tumour.card.model_copy(update=limits))
    whole, core, enhancing = (np.zeros((30, 30, 30), np.float32) for _ in range(3))
    whole[2:28, 2:28, 2:28] = 1
    for inner in (core, enhancing):
        inner[5:8, 5:8, 5:8] = 1  # 27 voxels of 1 mm
        inner[20:22, 20:22, 20:23] = 1  # 12: less than two voxels of 2 mm
    labels = tumour._labels({"WT": whole, "TC": core, "ET": enhancing}, Volume(whole, np.eye(4))).data
    assert (labels[5:8, 5:8, 5:8] == 3).all() and (labels[20:22, 20:22, 20:23] == 2).all()


def test_a_filled_region_may_be_left_out_between_two_others(tumour, write_study, monkeypatch):
    regions = list(tumour.task.regions)
    regions[1] = regions[1].model_copy(update={"requires": (Sequence.T1, Sequence.T1CE)})
    monkeypatch.setattr(tumour, "task", tumour.task.model_copy(update={"regions": tuple(regions)}))
    result = tumour.segment(Study.from_folder(write_study("p1", "T1CE FLAIR")))
    assert list(result.probabilities) == ["WT", "ET"] and set(result.left_out) == {"TC"}


def test_seg_nrrd_carries_names_colours_and_codes(tumour, write_study):
    result = tumour.segment(Study.from_folder(write_study("p1", "T1CE FLAIR")))
    data, header = nrrd.read(str(result.save(result.study.folder / "out" / "x.seg.nrrd")))
    assert np.array_equal(data, result.labels.data)
    np.testing.assert_allclose(header["space directions"].T, result.labels.affine[:3, :3])
    np.testing.assert_allclose(header["space origin"], result.labels.affine[:3, 3])
    assert [header[f"Segment{i}_LabelValue"] for i in range(3)] == ["1", "2", "3"]
    assert header["Segment2_Name"] == "Enhancing tumour"
    assert "SCT^79654002^Edema" in header["Segment1_Tags"]


def test_seg_nrrd_holds_only_what_is_offered_and_calls_no_tumour_oedema(tumour, write_study):
    result = tumour.segment(Study.from_folder(write_study("p1", "FLAIR")))
    header = nrrd.read_header(str(result.save(result.study.folder / "out" / "x.seg.nrrd")))
    assert (header["Segment0_ID"], header["Segment0_Name"]) == ("WT", "Whole tumour")
    assert header["Segment0_LabelValue"] == "2" and "SCT^108369006^Neoplasm" in header["Segment0_Tags"]
    assert "Segment1_ID" not in header


@pytest.mark.parametrize("shape", [(32, 32, 32), (35, 30, 17), (33, 48, 80)])  # 80: in three windows
def test_a_volume_that_fits_a_window_gives_what_windows_would(shape):
    from monai.inferers import sliding_window_inference

    torch.manual_seed(0)
    network = torch.nn.Conv3d(2, 3, 5, padding=2).eval()
    images, window = torch.rand(2, *shape), (48, 48, 48)
    edges = [min(48, -(-edge // 16) * 16) for edge in shape]
    with torch.inference_mode():
        logits = predict_logits(network, images, window, 0.5)
        expected = sliding_window_inference(images[None], edges, 1, network, 0.5, mode="gaussian")[0]
    torch.testing.assert_close(logits, expected)
