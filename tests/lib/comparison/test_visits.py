"""Two visits are of one patient and in the order of their dates, or it is said that they may not be."""

import dicom_files as habit
import numpy as np
import pytest
from pydicom.uid import generate_uid

from brainmvp.cli.compare import _show
from brainmvp.comparison import Visit, compare
from brainmvp.registration import Alignment
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

_TASK, _HEAD = get_task("tumour"), habit.scan((20, 22, 12), (2.4, 2.4, 3.6))


@pytest.fixture
def visit(tmp_path, monkeypatch):
    """Return a function that writes a visit as DICOM, with nothing marked in it; all align."""
    fits = Alignment(np.eye(4), False, 1.1, 1.1, 0.0)
    monkeypatch.setattr("brainmvp.comparison.change.align", lambda *images: fits)

    def write(name, uid=None, **facts):
        habit.write_series(tmp_path / name, _HEAD, uid or generate_uid(), **habit.T1CE, **facts)
        study, labels = Study.from_folder(tmp_path / name), tmp_path / f"{name}.nii.gz"
        (image,) = study.images.values()
        write_volume(Volume(np.zeros(image.shape, np.uint8), image.affine), labels)
        return Visit.of_file(study, _TASK, labels)

    return write


def test_the_dates_are_told_and_that_the_visits_may_be_the_wrong_way_round(visit, tmp_path, capsys):
    first, second = visit("a", StudyDate="20231230"), visit("b")
    result = compare(first, second, _TASK)
    assert (
        result.days == 32 and result.interval == "32 days later" and result.warnings == result.remarks == []
    )
    report = result.report()
    assert (report["before"]["scanned"], report["after"]["scanned"]) == ("2023-12-30", "2024-01-31")
    _show(result)
    assert "a (2023-12-30), then b (2024-01-31): 32 days later" in capsys.readouterr().out
    assert result.save_picture(tmp_path / "c.png").is_file()
    result = compare(second, first, _TASK)
    assert result.interval == "32 days earlier"
    assert result.warnings == [
        "The earlier visit is of 2024-01-31, the later one of 2023-12-30: they may be the wrong way round."
    ]


def test_two_patients_and_one_study_are_told(visit):
    uid = generate_uid()
    one, other, again = visit("a", uid), visit("b", PatientID="ID-1"), visit("copy", uid)
    result = compare(one, other, _TASK)
    assert result.warnings == ["The patient numbers of the two visits differ: they may be of two patients."]
    assert result.interval == "the same day" and "ID-" not in str(result.report())
    for same in (one, again):
        assert compare(one, same, _TASK).warnings == ["Both visits are the same study."]


@pytest.mark.parametrize("day", [None, "", "unknown", "20239999"])
def test_a_date_that_is_not_known_is_told_once(visit, day):
    known = visit("a")
    first, second = (visit(name, StudyDate=day, PatientID=None) for name in "bc")
    result = compare(first, second, _TASK)
    assert result.interval == "dates unknown" and result.remarks == [] and result.report()["days"] is None
    assert compare(known, second, _TASK).interval == "one date unknown"
    assert (known.name, second.name) == ("a (2024-01-31)", "c")
