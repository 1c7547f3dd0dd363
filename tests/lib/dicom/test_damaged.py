"""A damaged header costs its slice, never the study beside it."""

import random
from contextlib import suppress

import dicom_files as habit
import numpy as np
import pytest
from dicom_files import scan, write_series
from pydicom.uid import generate_uid

from brainmvp.dicom.choose import choose
from brainmvp.dicom.headers import read_slices
from brainmvp.dicom.series import images_of
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.study import Study, find_studies
from brainmvp.volume import read_volume

_COPIES = 400  # of a header, each with a few of its bytes changed at random


@pytest.fixture
def series(tmp_path):
    """The files of a small FLAIR, in the order of its slices."""
    volume = scan((12, 12, 8), (2.25, 2.25, 6.0), codes="LAS")
    # A slope, so that one can be damaged; spacing and slope as texts that are found again.
    facts = habit.FLAIR | {"PixelSpacing": ["2.25", "2.25"], "RescaleSlope": "1.0", "RescaleIntercept": "0"}
    return write_series(tmp_path / "all" / "visit", volume, generate_uid(), **facts)


def _damage(file, old, new):
    data = file.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    file.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("spacing", [b"2,25\\2,25 ", b"2.25000000", b"0.00\\0.00 ", b"nan\\nan   "])
def test_a_slice_without_a_sound_spacing_is_missing_and_the_others_are_read(series, spacing):
    _damage(series[0], b"2.25\\2.25 ", spacing)
    (study,) = find_studies(series[0].parents[1])
    assert study.images[Sequence.FLAIR].shape == (12, 12, 7)


@pytest.mark.filterwarnings("ignore:::pydicom")
@pytest.mark.parametrize("left", [b"", bytes(4000), bytes(128) + b"DICM" + b"\xff" * 40])
def test_slices_at_the_edge_that_cannot_be_read_are_not_lost_in_silence(series, left):
    for name in ("README", "DICOMDIR"):
        (series[0].parent / name).write_bytes(
            bytes(128) + b"DICM" if name == "DICOMDIR" else b"Burnt by hand"
        )
    assert Study.from_folder(series[0].parent).images[Sequence.FLAIR].notes == ()
    for file in series[-2:]:
        file.write_bytes(left)
        file.rename(file.with_suffix(""))
    image = Study.from_folder(series[0].parent).images[Sequence.FLAIR]
    assert image.shape == (12, 12, 6)
    assert image.notes == ("2 files beside its slices cannot be read: slices may be missing",)


@pytest.mark.filterwarnings("ignore:::pydicom")  # which says of each value what is wrong with it
def test_no_damage_of_a_header_ends_in_a_traceback(series):
    draw, whole = random.Random(0), series[3].read_bytes()
    end = whole.index(b"\xe0\x7f\x10\x00")  # where the voxels begin
    good = [one for file in series if file != series[3] for one in read_slices(file)]
    lost = 0
    for _ in range(_COPIES):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 4))):
            damaged[draw.randrange(132, end)] = draw.randrange(256)
        series[3].write_bytes(damaged)
        slices = read_slices(series[3])
        lost += not slices
        images, _ = choose(images_of([*good, *slices]))
        for image in images.values():
            with suppress(BrainMVPError):
                read_volume(image)
    assert lost < _COPIES / 2


def test_an_empty_slope_is_none(series):
    study = Study.from_folder(series[0].parent)
    expected = read_volume(study.images[Sequence.FLAIR]).data
    for file in series:
        _damage(file, b"\x28\x00\x53\x10DS\x04\x001.0 ", b"\x28\x00\x53\x10DS\x04\x00    ")
    assert np.array_equal(read_volume(study.images[Sequence.FLAIR]).data, expected)


def test_a_sentence_about_an_image_can_name_its_file(series):
    image = read_volume(Study.from_folder(series[0].parent).images[Sequence.FLAIR])
    assert image.path == series[0]
