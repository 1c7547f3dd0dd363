"""That a scan shows a part of the head, or cuts what was found, stands in the report and on the page."""

import numpy as np
import pytest
from heads import centre_of, head, oblique

from brainmvp.coverage import is_cut
from brainmvp.modelstore import ModelStore
from brainmvp.onepage.content import content_of
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.volume import Volume, read_volume, write_volume

_SHAPE = (44, 52, 46)
_AFFINE = oblique()
_HEAD = head(_SHAPE, _AFFINE, centre_of(_SHAPE, _AFFINE))
_WITHOUT_T1 = "without T1, what was bright before the contrast agent, such as blood, may pass for enhancement"


@pytest.fixture
def slab_study(tmp_path):
    """A study with a FLAIR of the whole head and a T1CE of its lower half."""
    write_volume(_HEAD, tmp_path / "p" / "p_flair.nii.gz")
    write_volume(Volume(_HEAD.data[:, :, :25], _AFFINE), tmp_path / "p" / "p_t1ce.nii.gz")
    return Study.from_folder(tmp_path / "p")


@pytest.fixture(scope="module")
def segmenter(tiny_models):
    return Segmenter.load("tumour", device="cpu", store=ModelStore(tiny_models))


def test_a_reference_of_half_the_head_is_not_taken_for_all_of_it(segmenter, slab_study):
    result = segmenter.segment(slab_study)  # a random model, which marks nearly all of the brain
    notes = result.report()["notes"]
    assert notes == [
        _WITHOUT_T1,
        "T1CE covers 57 % of the brain that FLAIR shows: what lies outside is not measured",
        "the finding touches the edge of the scan: its volume is a lower bound",
    ]
    assert dict(content_of(result).facts)["Notes"] == "; ".join(notes)
    assert result.report()["alignments"]["FLAIR"]["brain_covered_by_reference"] == pytest.approx(
        0.57, abs=0.01
    )


def test_what_a_sequence_of_half_the_head_shows_is_not_told_as_none_elsewhere(segmenter, slab_study):
    result = segmenter.segment(slab_study, Sequence.FLAIR)
    assert result.report()["notes"] == [
        _WITHOUT_T1,
        "T1CE covers 57 % of the brain: outside, Tumour core and Enhancing tumour cannot be seen",
    ]


def test_the_surface_of_a_stripped_brain_is_no_edge_even_where_the_image_is_cropped_to_it(
    segmenter, tmp_path
):
    shown = [np.flatnonzero(_HEAD.data.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(index[0], index[-1] + 1) for index in shown)
    affine = _AFFINE.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    write_volume(Volume(_HEAD.data[box], affine), tmp_path / "p" / "p_t1ce.nii.gz")
    result = segmenter.segment(Study.from_folder(tmp_path / "p"))
    assert result.labels.data[0].any() or result.labels.data[1].any()
    assert result.report()["notes"] == [_WITHOUT_T1]


def test_in_a_head_with_its_skull_every_edge_is_one():
    noise = np.random.default_rng(0).uniform(1, 100, (30, 30, 10))
    inside = np.zeros(noise.shape, bool)
    inside[12:18, 12:18, 3:7] = True
    at_the_top = inside.copy()
    at_the_top[14, 14, 9] = True
    image = Volume(noise, np.diag([1.0, 1.0, 5.0, 1.0]))
    assert not is_cut(inside, image) and is_cut(at_the_top, image)


def test_no_real_stripped_brain_is_cut(shared):
    for name in (
        "tumour/BraTS-GLI-00000-000/BraTS-GLI-00000-000_t1ce",
        "stroke/sub-strokecase0009/sub-strokecase0009_ses-0001_flair",
    ):
        image = read_volume(shared / "data" / f"{name}.nii.gz")
        assert not is_cut(image.data != 0, image)
