"""A folder becomes a study, or one sentence says which file is in the way."""

import json
import os

import numpy as np
import pytest

from brainmvp.cohort.scan import index_folder
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.sequences import Sequence
from brainmvp.study import Study, find_studies
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            write_volume(Volume(np.ones((3, 3, 3), np.uint8), np.eye(4)), tmp_path / name)
        return tmp_path

    return make


def test_every_sequence_and_the_label_are_found(touch):
    study = Study.from_folder(touch("p/a_t1ce.nii.gz", "p/a_flair.nrrd", "p/a_seg.nii.gz") / "p")
    assert study.id == "p"
    assert list(study.images) == [Sequence.FLAIR, Sequence.T1CE]
    assert study.label.name == "a_seg.nii.gz"


def test_two_files_of_one_sequence_are_both_named(touch):
    with pytest.raises(BrainMVPError, match=r"a_t1\.nii\.gz and b_T1w\.mha both claim T1"):
        Study.from_folder(touch("a_t1.nii.gz", "b_T1w.mha"))


def test_an_unknown_file_is_named(touch):
    with pytest.raises(BrainMVPError, match=r"mystery\.nii\.gz cannot be told"):
        Study.from_folder(touch("a_t1.nii.gz", "mystery.nii.gz"))


def test_initials_of_a_patient_are_no_contrast_medium(touch):
    study = Study.from_folder(touch("p/GD01_T1.nii.gz", "p/GD01_T2.nii.gz", "p/GD01_FLAIR.nii.gz") / "p")
    assert list(study.images) == [Sequence.FLAIR, Sequence.T1, Sequence.T2]
    study = Study.from_folder(touch("q/KM_T1.nii.gz", "q/T2.nii.gz") / "q")
    assert list(study.images) == [Sequence.T1CE, Sequence.T2]
    with pytest.raises(BrainMVPError, match=r"The sequence of KM_T1\.nii\.gz cannot be told"):
        Study.from_folder(touch("r/KM_T1.nii.gz", "r/KM_T2.nii.gz") / "r")


def test_a_mask_that_bears_a_sequences_name_is_not_taken_for_it(touch):
    with pytest.raises(BrainMVPError, match=r"The sequence of a_flair_wmh\.nii\.gz cannot be told"):
        Study.from_folder(touch("a_t1.nii.gz", "a_flair_wmh.nii.gz"))


def test_ct1_is_t1_with_contrast_beside_the_others_of_lumiere_only(touch):
    visit = touch(*(f"w/{name}.nii.gz" for name in ("CT1", "T1", "T2", "FLAIR"))) / "w"
    assert Study.from_folder(visit).images[Sequence.T1CE].name == "CT1.nii.gz"
    with pytest.raises(BrainMVPError, match=r"The sequence of CT1\.nii\.gz cannot be told"):
        Study.from_folder(touch("x/CT1.nii.gz", "x/T1.nii.gz") / "x")


def test_study_json_overrides_the_names(touch):
    folder = touch("x.nii.gz", "y.nii.gz", "z.nii.gz")
    (folder / "study.json").write_text(json.dumps({"sequences": {"T2": "x.nii.gz"}, "label": "y.nii.gz"}))
    study = Study.from_folder(folder)
    assert {s: p.name for s, p in study.images.items()} == {Sequence.T2: "x.nii.gz"}
    assert study.label.name == "y.nii.gz"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "does not read as"),
        ('{"sequences": {"CT": "x.nii.gz"}}', "does not read as"),
        ('{"sequences": {"T1": "gone.nii.gz"}}', "gone.nii.gz, which is not in the folder"),
        ('{"sequences": {"T1": "../x.nii.gz"}}', "outside the study"),
        ('{"sequences": {}}', "names no sequence"),
    ],
)
def test_a_wrong_study_json_is_explained(touch, content, sentence):
    folder = touch("x.nii.gz")
    (folder / "study.json").write_text(content)
    with pytest.raises(BrainMVPError, match=sentence):
        Study.from_folder(folder)


def test_studies_are_found_at_any_depth_and_bids_sessions_have_both_names(touch):
    root = touch(
        "tree/site/b_002/b_t1.nii.gz",
        "tree/site/a_001/a_t1.nii.gz",
        "tree/sub-7/ses-1/anat/sub-7_ses-1_FLAIR.nii.gz",
        "tree/sub-7/ses-1/dwi/sub-7_ses-1_dwi.nii.gz",
        "tree/labels/final/a_001.nii.gz",
    )
    studies = find_studies(root / "tree")
    assert [study.id for study in studies] == ["a_001", "b_002", "sub-7_ses-1"]
    assert list(studies[2].images) == [Sequence.FLAIR, Sequence.DWI]


def test_a_bad_study_does_not_hide_the_good_ones(touch):
    root = touch("good/a_t1.nii.gz", "bad/a_t1.nii.gz", "bad/what.nii.gz")
    bad = []
    studies = find_studies(root, on_error=lambda folder, error: bad.append((folder.name, str(error))))
    assert [study.id for study in studies] == ["good"]
    assert bad[0][0] == "bad" and "what.nii.gz" in bad[0][1]
    with pytest.raises(BrainMVPError, match=r"what\.nii\.gz"):
        find_studies(root)


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own on Windows")
def test_links_are_followed_but_not_in_circles(touch):
    root = touch("store/two/a_t1.nii.gz", "cohort/one/a_t1.nii.gz")
    (root / "cohort" / "two").symlink_to(root / "store" / "two")
    (root / "cohort" / "round").mkdir()
    (root / "cohort" / "round" / "up").symlink_to(root / "cohort")
    assert [study.id for study in find_studies(root / "cohort")] == ["one", "two"]
    index, _ = index_folder(root / "cohort")
    assert [session.subject for session in index.sessions] == ["one", "two"]
    assert all(index.study(session).images for session in index.sessions)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_in_an_old_encoding_becomes_one_that_can_be_written(touch, tmp_path):
    root = touch("cohort/plain/a_t1.nii.gz") / "cohort"
    try:
        (root / "plain").rename(os.fsdecode(os.fsencode(root) + b"/M\xfcller"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (study,) = find_studies(root)
    assert study.id == "M\ufffdller"
    write_json(tmp_path / "report.json", {"study": study.id})


def test_what_windows_writes_is_read(touch):
    folder = touch("x.nii.gz")
    (folder / "study.json").write_text('{"sequences": {"T2": "x.nii.gz"}}', "utf-8-sig")
    assert list(Study.from_folder(folder).images) == [Sequence.T2]


def test_a_format_that_is_not_read_is_named(tmp_path):
    (tmp_path / "flair.img").touch()
    with pytest.raises(BrainMVPError, match=r"Not read: flair\.img; convert to \.nii\.gz\."):
        Study.from_folder(tmp_path)


def test_a_folder_called_as_an_image_is_a_folder(touch):
    root = touch("p/a_flair.nii/a_flair.nii.gz", "p/a_t1.nii/a_t1.nii.gz")
    assert [list(study.images) for study in find_studies(root)] == [[Sequence.FLAIR], [Sequence.T1]]
    with pytest.raises(BrainMVPError, match=r"a_flair\.nii, a_t1\.nii, no file but a folder; take"):
        Study.from_folder(root / "p")
    assert list(Study.from_folder(touch("p/a_t2.nii.gz") / "p").images) == [Sequence.T2]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may look everywhere")
def test_a_closed_folder_does_not_hide_the_others(touch):
    root = touch("cohort/good/a_t1.nii.gz", "cohort/closed/a_t1.nii.gz") / "cohort"
    (root / "closed").chmod(0)
    bad = []
    studies = find_studies(root, on_error=lambda folder, error: bad.append(str(error)))
    _, notes = index_folder(root)
    (root / "closed").chmod(0o755)
    assert notes == [f"Left out {root / 'closed'}: it cannot be looked into."]
    assert [study.id for study in studies] == ["good"]
    assert bad == [f"{root / 'closed'} cannot be looked into; ask its owner for the permission."]


def test_the_reference_follows_the_task_or_the_wish(touch):
    study = Study.from_folder(touch("a_t1.nii.gz", "a_flair.nii.gz"))
    assert study.reference(get_task("tumour")) is Sequence.FLAIR
    assert study.reference(get_task("tumour"), Sequence.T1) is Sequence.T1
    with pytest.raises(BrainMVPError, match="has no T1CE"):
        study.reference(get_task("tumour"), Sequence.T1CE)


def test_an_empty_or_absent_folder_says_so(tmp_path):
    with pytest.raises(BrainMVPError, match="holds no image"):
        Study.from_folder(tmp_path)
    with pytest.raises(BrainMVPError, match="is not a folder"):
        find_studies(tmp_path / "nowhere")
