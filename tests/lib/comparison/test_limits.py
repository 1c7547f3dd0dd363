"""What one visit did not scan is said, and nothing where both show the same."""

from dataclasses import replace

import numpy as np
import pytest
from heads import centre_of, head, oblique

from brainmvp.cli.compare import _show
from brainmvp.comparison import Visit, compare
from brainmvp.registration import Alignment
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

_SHAPE = (44, 52, 46)
_AFFINE = oblique()
_HEAD = head(_SHAPE, _AFFINE, centre_of(_SHAPE, _AFFINE))
_TUMOUR = np.zeros(_SHAPE, np.uint8)
_TUMOUR[20:26, 20:30, 20:30] = 3


@pytest.fixture
def visit(tmp_path):
    """Return a function that writes a visit whose scan is a part of the head, with the tumour that it shows."""

    def write(name, part, padded=False):
        scan, labels = _HEAD.data[:, :, part], _TUMOUR[:, :, part]
        affine = _AFFINE.copy()
        affine[:3, 3] += affine[:3, 2] * (part.start or 0)
        if padded:
            around = [
                (0, 0),
                (0, 0),
                (part.start or 0, _SHAPE[2] - len(range(_SHAPE[2])[part]) - (part.start or 0)),
            ]
            scan, labels, affine = np.pad(scan, around), np.pad(labels, around), _AFFINE
        write_volume(Volume(scan, affine), tmp_path / name / f"{name}_t1ce.nii.gz")
        write_volume(Volume(labels, affine), tmp_path / f"{name}.nii.gz")
        return Visit.of_file(
            Study.from_folder(tmp_path / name), get_task("tumour"), tmp_path / f"{name}.nii.gz"
        )

    return write


@pytest.mark.parametrize("padded", [False, True])
def test_a_tumour_that_was_not_scanned_is_not_taken_for_one_that_is_gone(visit, padded):
    whole, half = visit("whole", slice(None)), visit("half", slice(0, 25), padded)
    remarks = compare(whole, half, get_task("tumour")).remarks
    assert (
        "The later visit shows 57 % of the earlier one's brain: what lies outside counts as none." in remarks
    )
    assert "50 % of what is marked at the earlier visit was not scanned at the later one." in remarks
    swapped = compare(half, whole, get_task("tumour")).remarks
    assert (
        "The earlier visit shows 57 % of the later one's brain: what lies outside counts as none." in swapped
    )
    assert "50 % of what is marked at the later visit was not scanned at the earlier one." in swapped


def test_too_small_a_part_is_compared_in_nothing(visit, tmp_path, capsys):
    result = compare(visit("whole", slice(None)), visit("slab", slice(0, 13)), get_task("tumour"))
    assert result.changes[0].percent == -100
    (warning,) = result.report()["warnings"]
    assert warning.endswith("of the reference's head): compare neither places nor volumes.")
    _show(result)
    assert capsys.readouterr().out.startswith(f"Warning: {warning}\n")  # before any number
    assert result.save_picture(tmp_path / "c.png").is_file()


def test_fields_of_view_that_differ_a_little_are_no_limit(visit):
    result = compare(visit("v1", slice(2, None)), visit("v2", slice(0, 43)), get_task("tumour"))
    assert result.remarks == []


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ({"stretch": 0.08}, "compare neither places nor volumes"),
        ({"stretch": 0.08, "spread_mm": 9.0}, "compare neither places nor volumes"),
        ({"spread_mm": 4.0}, "do not compare places, only volumes"),
        ({"spread_mm": 40.0}, "compare neither places nor volumes"),
    ],
)
def test_what_can_still_be_compared_goes_by_the_doubt(visit, monkeypatch, facts, advice):
    doubtful = replace(Alignment(np.eye(4), True, 1.1, 1.2, 1.0, doubt="doubt"), **facts)
    monkeypatch.setattr("brainmvp.comparison.change.align", lambda *images: doubtful)
    one, other = visit("v1", slice(None)), visit("v2", slice(None))
    assert compare(one, other, get_task("tumour")).warnings == [
        f"The two visits may not align (doubt): {advice}."
    ]
