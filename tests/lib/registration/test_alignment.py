"""A sequence is put where it belongs, left where it fits, and doubted where neither can be said."""

from datetime import date

import nibabel as nib
import numpy as np
import pytest

from brainmvp.card import NOTICE, Card
from brainmvp.classify import StudyClassifier
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_classifier
from brainmvp.onepage.content import content_of
from brainmvp.phantom.rescan import errors_mm, scan
from brainmvp.registration import align, register
from brainmvp.registration.motion import rigid
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume

_MOTION = rigid(np.array([9.0, -12.0, 11.0]), np.array([8.0, -7.0, 9.0]), np.array([0.0, 0.0, 10.0]))


@pytest.mark.parametrize(
    ("spacing", "part"),
    [((1.0, 1.0, 5.5), slice(None)), ((2.0, 5.0, 2.0), slice(None)), ((2.0, 2.0, 3.0), slice(33, None))],
)
def test_a_known_motion_is_found(head, spacing, part):
    reference = scan(head["T1"], (2.0, 2.0, 2.0))
    moved = scan(head["FLAIR"], spacing, _MOTION, part)
    result = align(moved, reference)
    errors = errors_mm(result.world, _MOTION, head["brain"])
    assert result.moved and result.doubt is None and result.stretch < 0.02
    assert np.median(errors) < 1.0 and errors.max() < 2.0  # the head has voxels of 2 mm
    assert result.similarity > result.similarity_before


def test_the_same_images_give_the_same_numbers(head):
    reference, moved = scan(head["T1"], (3.0, 3.0, 3.0)), scan(head["FLAIR"], (2.0, 2.0, 6.0), _MOTION)
    assert np.array_equal(register(moved, reference), register(moved, reference))


def test_what_fits_already_is_not_touched(head):
    reference = scan(head["T1"], (2.0, 2.0, 2.0))
    result = align(scan(head["FLAIR"], (1.0, 1.0, 5.0)), reference)
    assert not result.moved and np.array_equal(result.world, np.eye(4)) and result.doubt is None


def test_a_header_that_puts_the_head_elsewhere_is_no_hindrance(head):
    """Exported into a frame of reference of its own: no voxel lies on the reference's head."""
    reference = scan(head["T1"], (3.0, 3.0, 3.0))
    far = rigid(np.array([0.0, 0.0, 700.0]), np.zeros(3), np.zeros(3))
    moved = scan(head["FLAIR"], (3.0, 3.0, 6.0))
    result = align(Volume(moved.data, far @ moved.affine), reference)
    assert result.moved and result.doubt is None
    assert np.abs(result.world - far).max() < 2.0


def test_images_that_do_not_belong_together_are_doubted(head):
    reference = scan(head["T1"], (2.0, 2.0, 2.0))
    flair = scan(head["FLAIR"], (2.0, 2.0, 4.0))
    noise = np.random.default_rng(0).uniform(0, 100, flair.shape).astype(np.float32)
    for wrong in (flair.data[:, :, ::-1], noise):
        assert align(Volume(np.ascontiguousarray(wrong), flair.affine), reference).doubt


def test_a_head_of_another_size_is_doubted(head):
    reference, flair = scan(head["T1"], (2.0, 2.0, 2.0)), scan(head["FLAIR"], (2.0, 2.0, 4.0), _MOTION)
    larger = Volume(flair.data, np.diag([1.07, 1.0, 1.0, 1.0]) @ flair.affine)
    result = align(larger, reference)
    assert result.stretch > 0.03 and result.doubt


def test_too_small_a_part_of_the_head_is_doubted(head):
    reference = scan(head["T1"], (2.0, 2.0, 2.0))
    assert "only" in align(scan(head["FLAIR"], (2.0, 2.0, 4.0), _MOTION, slice(40, 48)), reference).doubt


@pytest.fixture
def unfit_study(tmp_path, head):
    """A study whose FLAIR is upside down: its header lies."""
    flair = scan(head["FLAIR"], (2.0, 2.0, 4.0))
    write_volume(scan(head["T1"], (2.0, 2.0, 2.0)), tmp_path / "p_t1ce.nii.gz")
    write_volume(Volume(flair.data[:, :, ::-1].copy(), flair.affine), tmp_path / "p_flair.nii.gz")
    return Study.from_folder(tmp_path)


@pytest.fixture(scope="module")
def segmenter(tiny_models):
    return Segmenter.load("tumour", device="cpu", store=ModelStore(tiny_models))


def test_a_doubtful_sequence_is_not_used_and_shown(segmenter, unfit_study):
    result = segmenter.segment(unfit_study)
    report = result.report()
    assert report["sequences_used"] == ["T1CE"] and "FLAIR" in report["sequences_flagged"]
    assert report["alignments"]["FLAIR"]["doubt"]
    picture = result.save_alignment_picture(unfit_study.folder / "out" / "a.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_only_a_doubtful_sequence_shows_is_left_out_for_that_reason(segmenter, unfit_study):
    result = segmenter.segment(unfit_study, Sequence.FLAIR)
    assert result.left_out["ET"] == "Enhancing tumour needs T1CE, which could not be used."
    facts = dict(content_of(result).facts)
    assert facts["Registered"] == "none" and facts["Flagged, not used"].startswith("T1CE: ")


@pytest.fixture
def grader(tmp_path):
    task, config = get_task("brats-2018-grade"), NetworkConfig.preset("unet-compact", 4, 2)
    card = Card(
        name=task.name, version=1, kind="classification", task=task.name, title="Random", sequences=task.sequences,
        regions=task.outputs, network=config, spacing=2.0, grid=(24, 24, 16), window=(16, 16, 16),
        created=date(2026, 1, 1),
    )  # fmt: skip
    return ModelStore(tmp_path / "models").add(card, build_classifier(config).state_dict())


def test_a_class_is_told_from_the_brain_of_the_tool_that_was_chosen(grader, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).uniform(0, 100, (9, 9, 9))
    write_volume(Volume(noise, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "p" / "t1.nii.gz")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrainMVPError, match="hd-bet is not on the PATH"):
        StudyClassifier(grader, "cpu", brain="hd-bet").classify(Study.from_folder(tmp_path / "p"))


def test_a_doubtful_sequence_is_shown_beside_a_class(grader, unfit_study, monkeypatch):
    monkeypatch.setattr(Study, "notes", lambda self, used: [f"{used[0]}: slices may be missing"])
    result = StudyClassifier(grader, "cpu").classify(unfit_study)
    report = result.report()
    assert report["notes"] == ["T1CE: slices may be missing"] and report["notice"] == NOTICE
    assert report["sequences_used"] == ["T1CE"] and list(report["sequences_flagged"]) == ["FLAIR"]
    assert set(report["sequences_filled"]) == {"T1", "T2", "FLAIR"}
    assert "brain_doubt" in report


def test_without_enough_that_aligns_the_error_says_so(segmenter, unfit_study, head):
    write_volume(scan(head["T1"], (2.0, 2.0, 2.0)), unfit_study.folder / "p_t1.nii.gz")
    (unfit_study.folder / "p_t1ce.nii.gz").unlink()
    with pytest.raises(BrainMVPError, match=r"T1 can be used\. FLAIR is not used, its alignment is doubtful"):
        segmenter.segment(Study.from_folder(unfit_study.folder), Sequence.T1)


def test_a_moved_study_is_segmented_on_the_references_grid(segmenter, tmp_path, head):
    write_volume(scan(head["T1"], (2.0, 2.0, 3.0)), tmp_path / "p_t1ce.nii.gz")
    write_volume(scan(head["FLAIR"], (2.0, 2.0, 4.0), _MOTION), tmp_path / "p_flair.nii.gz")
    result = segmenter.segment(Study.from_folder(tmp_path))
    flair = result.alignments[Sequence.FLAIR]
    assert flair.moved and flair.brains > max(flair.brains_before, 0.85)
    written = nib.load(result.save(tmp_path / "out" / "label.nii.gz"))
    source = nib.load(tmp_path / "p_t1ce.nii.gz")
    assert written.shape == source.shape and np.array_equal(written.affine, source.affine)


def test_real_registered_sequences_stay_where_they_are(shared):
    for name in ("BraTS-GLI-00000-000", "Brats18_2013_2_1"):
        study = Study.from_folder(shared / "data" / "tumour" / name)
        reference = read_volume(study.images[Sequence.T1CE])
        for sequence in (Sequence.T1, Sequence.T2, Sequence.FLAIR):
            assert not align(read_volume(study.images[sequence]), reference).moved


def test_a_real_native_study_is_aligned(shared):
    study = Study.from_folder(shared / "data" / "native_tumour" / "TCGA-FG-6692")
    reference = read_volume(study.images[Sequence.T1CE])
    for sequence in (Sequence.T1, Sequence.T2, Sequence.FLAIR):
        result = align(read_volume(study.images[sequence]), reference)
        assert result.moved and result.doubt is None
        assert result.similarity > result.similarity_before + 0.05
