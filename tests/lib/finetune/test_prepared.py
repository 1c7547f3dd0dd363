"""What is prepared once and found again: never another's, and however many studies there are."""

import numpy as np
import pytest
from labelled import make_case

from brainmvp.finetune.prepared import Preparation
from brainmvp.tasks import get_task
from brainmvp.volume import Volume

STROKE, GRADE = get_task("stroke"), get_task("brats-2018-grade")


def test_a_shared_folder_keeps_what_other_templates_gave_apart(tmp_path):
    case = make_case(STROKE, "a", tmp_path)
    affine = np.diag([4.0, 4, 4, 1])
    levels = []
    for level in (0.25, 0.75):  # the ranges of both are 0 to 1, as of any templates that are scaled
        template = np.full((60, 60, 40), level, np.float32)
        template[0, 0, :2] = 0, 1
        given = dict.fromkeys(STROKE.sequences, Volume(template, affine))
        prepared = Preparation(STROKE, 8.0, templates=given).one(case, tmp_path / "kept")
        levels.append(float(np.median(prepared.fill)))
    assert levels == pytest.approx([0.25, 0.75], abs=1e-3)


def test_a_shared_folder_keeps_other_orders_of_the_classes_apart(tmp_path):
    case = make_case(GRADE, "a", tmp_path)
    turned = GRADE.model_copy(update={"classes": GRADE.classes[::-1]})
    targets = [
        Preparation(task, 8.0, (8, 8, 8)).one(case, tmp_path / "kept").target for task in (GRADE, turned)
    ]
    assert targets == [0, 1]


def test_what_was_cut_short_is_prepared_anew(tmp_path):
    case, kept = make_case(STROKE, "a", tmp_path), tmp_path / "kept"
    whole = Preparation(STROKE, 8.0).one(case, kept)
    images, labels = np.asarray(whole.images), np.asarray(whole.labels)
    files = sorted(kept.iterdir())
    assert [file.suffixes[-1] for file in files] == [".npy", ".json", ".npy"]
    for file in files:
        content = file.read_bytes()
        for left in (0, 20, len(content) - 8):
            file.write_bytes(content[:left])
            again = Preparation(STROKE, 8.0).one(case, kept)
            assert np.array_equal(again.images, images) and np.array_equal(again.labels, labels)
            assert file.stat().st_size == len(content)
        file.unlink()
        assert np.array_equal(Preparation(STROKE, 8.0).one(case, kept).images, images)


def test_more_studies_than_open_files_are_allowed(tmp_path):
    resource = pytest.importorskip("resource")
    case, preparation = make_case(GRADE, "a", tmp_path), Preparation(GRADE, 8.0, (8, 8, 8))
    whole = np.asarray(preparation.one(case, tmp_path / "kept").images)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    try:
        cases = preparation.all([case] * 301, tmp_path / "kept")
        assert all(np.array_equal(each.images[:, 2:4], whole[:, 2:4]) for each in cases)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
