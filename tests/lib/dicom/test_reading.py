"""DICOM files as they come become volumes with their exact place in the world."""

import shutil

import dicom_files as habit
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import scan, write_enhanced, write_series
from heads import centre_of, head, oblique
from pydicom import dcmread
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from brainmvp.dicom.find import dicom_studies
from brainmvp.errors import BrainMVPError
from brainmvp.volume import read_volume

STUDY = generate_uid()


@pytest.fixture(scope="module")
def volume():
    return scan((20, 24, 12), (2.1, 2.0, 3.5))


def entries(folder):
    (study,) = dicom_studies([folder])
    return study.series


def only(folder):
    (entry,) = entries(folder)
    return entry


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "LPI"])
def test_a_series_is_read_where_it_lies(tmp_path, codes):
    expected = scan((20, 24, 12), (2.1, 2.0, 3.5), codes=codes)
    write_series(tmp_path, expected, STUDY, **habit.T2)
    found = read_volume(only(tmp_path).image)
    assert np.array_equal(found.data, expected.data)
    assert np.abs(found.affine - expected.affine).max() < 1e-6


def test_the_geometry_is_that_of_gdcm(tmp_path, volume):
    files = write_series(tmp_path, volume, STUDY, **habit.T2)
    image = sitk.ReadImage([str(file) for file in files])
    found = read_volume(only(tmp_path).image)
    for index in ((0, 0, 0), (19, 3, 11), (7, 23, 5)):
        lps = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose((found.affine @ [*index, 1])[:3], np.array(lps) * (-1, -1, 1), atol=1e-4)
        assert found.data[index] == image[index]


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless], ids=lambda s: s.keyword
)
def test_compressed_files_are_decoded(tmp_path, volume, syntax):
    write_series(tmp_path, volume, STUDY, syntax=syntax, **habit.T2)
    assert np.array_equal(read_volume(only(tmp_path).image).data, volume.data)


def test_a_file_that_cannot_be_decoded_is_named(tmp_path, volume):
    files = write_series(tmp_path, volume, STUDY, **habit.T2)
    whole = files[3].read_bytes()
    files[3].write_bytes(whole[:-300])
    with pytest.raises(BrainMVPError, match=rf"{files[3].name} cannot be decoded .*export or send it again"):
        read_volume(only(tmp_path).image)


def test_files_need_no_ending(tmp_path, volume):
    write_series(tmp_path, volume, STUDY, name="{:08d}", **habit.T2)
    (tmp_path / "README").write_text("not a scan " * 40)
    assert np.array_equal(read_volume(only(tmp_path).image).data, volume.data)


def test_enhanced_multi_frame_is_one_file(tmp_path, volume):
    facts = {"SeriesDescription": "3D FLAIR", "RepetitionTime": 4800, "EchoTime": 340, "InversionTime": 1650}
    write_enhanced(tmp_path, volume, STUDY, **facts)
    entry = only(tmp_path)
    assert (entry.verdict.what, entry.use) == ("FLAIR", "used")
    assert entry.verdict.why == "TR 4800, TE 340, TI 1650 ms"
    found = read_volume(entry.image)
    assert np.array_equal(found.data, volume.data)
    assert np.abs(found.affine - volume.affine).max() < 1e-6


def test_rescaling_is_applied_slice_by_slice(tmp_path, volume):
    for path, slope in zip(write_series(tmp_path, volume, STUDY, **habit.T2), (2, 0.5) * 6, strict=True):
        dataset = dcmread(path)
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, -3
        dataset.save_as(path)
    found = read_volume(only(tmp_path).image).data
    assert np.allclose(found[..., 0], volume.data[..., 0] * 2.0 - 3)
    assert np.allclose(found[..., 1], volume.data[..., 1] * 0.5 - 3)


def test_a_missing_slice_leaves_the_series_out(tmp_path, volume):
    write_series(tmp_path, volume, STUDY, only=[0, 1, 2, 3, 6, 7, 8, 9, 10, 11], **habit.T2)
    entry = only(tmp_path)
    assert entry.use == "left out"
    assert entry.reason == "2 slices are missing (after slice 4)"


def test_slices_missing_at_the_end_are_noticed_by_the_count(tmp_path, volume):
    write_series(tmp_path, volume, STUDY, only=range(9), ImagesInAcquisition=12, **habit.T2)
    assert only(tmp_path).reason == "3 of 12 slices are missing"


def test_uneven_slices_are_left_out(tmp_path, volume):
    files = write_series(tmp_path, volume, STUDY, **habit.T2)
    dataset = dcmread(files[5])
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y, z + 1.2]
    dataset.save_as(files[5])
    assert "not evenly" in only(tmp_path).reason


def test_copies_of_files_do_no_harm(tmp_path, volume):
    files = write_series(tmp_path, volume, STUDY, **habit.T2)
    for file in files[:4]:
        shutil.copy(file, tmp_path / f"copy of {file.name}")
    entry = only(tmp_path)
    assert entry.image.notes == ("4 copies of slices were passed over",)
    assert np.array_equal(read_volume(entry.image).data, volume.data)


def test_slices_sent_twice_under_new_numbers_are_noted(tmp_path, volume):
    uid = generate_uid()
    write_series(tmp_path, volume, STUDY, series_uid=uid, **habit.T2)
    write_series(tmp_path, volume, STUDY, series_uid=uid, only=[4, 5], name="again{}.dcm", **habit.T2)
    entry = only(tmp_path)
    assert entry.image.notes == ("2 slices lie where another one lies; the first was taken",)
    assert np.array_equal(read_volume(entry.image).data, volume.data)


def test_gantry_tilt_is_kept_in_the_affine(tmp_path, volume):
    across = -volume.affine[:3, 1] / volume.spacing[1] * (1, 1, -1)  # one in-plane axis, in LPS
    write_series(tmp_path, volume, STUDY, shift=0.9 * across, **habit.T2)
    entry = only(tmp_path)
    assert entry.use == "used"
    assert "gantry tilt 14.4°" in entry.image.notes[0]
    found = read_volume(entry.image)
    moved = (volume.affine @ [0, 0, 11, 1])[:3] + 11 * 0.9 * across * (-1, -1, 1)
    assert np.allclose((found.affine @ [0, 0, 11, 1])[:3], moved, atol=1e-4)


def test_two_series_in_one_folder_are_told_apart(tmp_path, volume):
    write_series(tmp_path, volume, STUDY, 2, name="a{}", **habit.T1)
    write_series(tmp_path, volume, STUDY, 3, name="b{}", **habit.FLAIR)
    assert [(e.image.number, e.verdict.what, e.use) for e in entries(tmp_path)] == [
        (2, "T1", "used"),
        (3, "FLAIR", "used"),
    ]


def test_the_echoes_of_one_series_are_two_volumes(tmp_path, volume):
    uid = generate_uid()
    echoes = habit.T2 | {"SeriesDescription": "double echo"}
    write_series(tmp_path, volume, STUDY, series_uid=uid, name="a{}", **echoes | {"EchoTime": 20})
    write_series(tmp_path, volume, STUDY, series_uid=uid, name="b{}", **echoes | {"EchoTime": 90})
    found = {entry.verdict.what: read_volume(entry.image) for entry in entries(tmp_path)}
    assert found.keys() == {"PD", "T2"}
    assert np.array_equal(found["T2"].data, volume.data)


def test_the_b_values_of_one_series_are_told_apart(tmp_path, volume):
    uid = generate_uid()
    for b in (0.0, 1000.0):
        facts = habit.DWI | {"DiffusionBValue": b}
        write_series(tmp_path, volume, STUDY, series_uid=uid, name=f"b{b}-{{}}", **facts)
    assert [(e.verdict.what, e.use) for e in entries(tmp_path)] == [
        ("b = 0 image", "left out"),
        ("DWI", "used"),
    ]


def test_directions_that_nothing_tells_apart_are_volumes_one_after_another(tmp_path, volume):
    uid = generate_uid()
    for part in range(3):
        write_series(
            tmp_path,
            volume,
            STUDY,
            series_uid=uid,
            name=f"{part}-{{}}",
            **habit.DWI | {"InstanceNumber": part},
        )
    used, others = entries(tmp_path)
    assert (used.use, others.use, others.volumes) == ("used", "alternative", 2)
    assert np.array_equal(read_volume(used.image).data, volume.data)


def test_a_localiser_is_one_line_of_the_table(tmp_path):
    uid = generate_uid()
    for plane, codes in enumerate(("LPS", "RAS", "LAS")):
        affine = np.roll(oblique((2.1, 2.0, 3.5), codes), plane, axis=0)
        affine[3], affine[:3, 3] = (0, 0, 0, 1), 0
        three = head((20, 24, 3), affine, centre_of((20, 24, 3), affine))
        facts = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "RepetitionTime": 8, "EchoTime": 3}
        write_series(tmp_path, three, STUDY, series_uid=uid, name=f"{plane}-{{}}", **facts)
    entry = only(tmp_path)
    assert (entry.verdict.what, entry.use, entry.volumes) == ("localiser", "left out", 3)
