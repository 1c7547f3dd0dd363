"""Images come in and go out unchanged, and a bad file is named in one sentence."""

import gzip
import os
import re

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from heads import oblique

from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume, read_volume, write_volume


@pytest.fixture
def volume():
    data = np.random.default_rng(0).integers(-5, 900, (7, 8, 9)).astype(np.int16)
    return Volume(data, oblique((0.9, 1.1, 3.0), "LAS"))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_nifti_comes_back_bit_for_bit(volume, suffix, tmp_path):
    back = read_volume(write_volume(volume, tmp_path / f"a{suffix}"))
    assert np.array_equal(back.data, volume.data)
    assert np.array_equal(back.affine, volume.affine)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_mean_the_same_place(volume, suffix, tmp_path):
    back = read_volume(write_volume(volume, tmp_path / f"a{suffix}"))
    assert np.array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_endings_in_capitals_are_read(volume, suffix, tmp_path):
    path = write_volume(volume, tmp_path / f"a{suffix}")
    assert np.array_equal(read_volume(path.rename(tmp_path / f"A{suffix.upper()}")).data, volume.data)


def test_mgz_and_single_frame_4d_are_read(volume, tmp_path):
    nib.save(nib.MGHImage(volume.data, volume.affine.astype(np.float32)), tmp_path / "a.mgz")
    assert np.array_equal(read_volume(tmp_path / "a.mgz").data, volume.data)
    nib.save(nib.Nifti1Image(volume.data[..., None], volume.affine), tmp_path / "b.nii.gz")
    assert read_volume(tmp_path / "b.nii.gz").shape == (7, 8, 9)


def test_a_sheared_affine_is_kept(volume, tmp_path):
    sheared = volume.affine.copy()
    sheared[0, 2] += 0.8  # gantry tilt
    sheared = sheared.astype(np.float32).astype(np.float64)
    back = read_volume(write_volume(Volume(volume.data, sheared), tmp_path / "a.nii.gz"))
    assert np.array_equal(back.affine, sheared)


def bad_files(folder):
    affine = np.eye(4)
    nan = np.ones((4, 4, 4), np.float32)
    nan[1, 1, 1] = np.nan
    nib.save(nib.Nifti1Image(nan, affine), folder / "nan_t1.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 2), np.int16), affine), folder / "series_t1.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 1), np.int16), affine), folder / "slice_t1.nii.gz")
    whole = np.random.default_rng(0).integers(0, 99, (30, 30, 30)).astype(np.int16)
    nib.save(nib.Nifti1Image(whole, affine), folder / "cut_t1.nii.gz")
    content = (folder / "cut_t1.nii.gz").read_bytes()
    (folder / "cut_t1.nii.gz").write_bytes(content[: len(content) // 2])
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.complex64), affine), folder / "complex_t1.nii.gz")
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, affine), folder / "colours_t1.nii.gz")
    nib.save(nib.Nifti1Image(whole, None), folder / "nowhere_t1.nii.gz")
    (folder / "text_t1.nii.gz").write_text("not an image")
    (folder / "text_t1.nrrd").write_text("not an image")
    (folder / "photo.png").write_text("not an image")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nan_t1.nii.gz", "not finite"),
        ("series_t1.nii.gz", "not a 3-D volume"),
        ("slice_t1.nii.gz", "not a 3-D volume"),
        ("complex_t1.nii.gz", "complex numbers"),
        ("colours_t1.nii.gz", "colours"),
        ("nowhere_t1.nii.gz", "left and right cannot be told"),
        ("cut_t1.nii.gz", "cannot be read"),
        ("text_t1.nii.gz", "cannot be read"),
        ("text_t1.nrrd", "cannot be read"),
        ("photo.png", "no image format"),
        ("gone_t1.nii.gz", "does not exist"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path, name, sentence):
    bad_files(tmp_path)
    with pytest.raises(BrainMVPError, match=sentence) as caught:
        read_volume(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mgz"])
def test_a_file_that_does_not_say_left_and_right_is_refused(volume, suffix, tmp_path):
    path = tmp_path / f"a_t1{suffix}"
    if suffix == ".mgz":
        nib.save(nib.MGHImage(volume.data, volume.affine), path)
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[28:30] = b"\0\0"
        path.write_bytes(gzip.compress(content))
    else:
        content = write_volume(volume, path).read_bytes()
        words = {".nrrd": rb"space: left-posterior-superior", ".mha": rb"TransformMatrix = [^\n]*"}
        path.write_bytes(
            re.sub(words[suffix] + b"\n", {".nrrd": b"space dimension: 3\n"}.get(suffix, b""), content)
        )
    with pytest.raises(BrainMVPError, match=r"a_t1\.\w+ does not say .* left and right cannot be told"):
        read_volume(path)


@pytest.mark.parametrize("codes", [(2, 1), (4, 1), (2, 2)])
def test_a_file_that_lies_in_two_places_is_refused(volume, codes, tmp_path):
    moved, path = volume.affine.copy(), tmp_path / "a_t1.nii.gz"
    moved[0, 3] += 15
    image = nib.Nifti1Image(volume.data, volume.affine)
    image.set_sform(moved, codes[0])
    image.set_qform(volume.affine, codes[1])
    nib.save(image, path)
    with pytest.raises(BrainMVPError, match=r"a_t1\.nii\.gz lies in two places, 15 mm apart \(sform code"):
        read_volume(path)
    for form, affine in (
        (1, moved),
        (codes[0], volume.affine),
    ):  # all readers take the sform; both say the same
        image.set_sform(affine, form)
        nib.save(image, path)
        assert np.allclose(read_volume(path).affine, affine, atol=1e-4)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("LAS", (-1, 1, 1)),
        ("left-posterior-superior", (-1, -1, 1)),
    ],
)
def test_every_space_of_the_head_is_read(volume, space, signs, tmp_path):
    header = {"space": space, "space directions": np.diag([0.9, 1.1, 3.0]), "space origin": [1.0, 2.0, 3.0]}
    nrrd.write(str(tmp_path / "a.nrrd"), volume.data, header)
    expected = np.array([[0.9, 0, 0, 1], [0, 1.1, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]])
    assert np.allclose(read_volume(tmp_path / "a.nrrd").affine, np.diag([*signs, 1]) @ expected)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_file_of_somebody_else_says_so(volume, suffix, tmp_path):
    path = write_volume(volume, tmp_path / f"a{suffix}")
    path.chmod(0)
    with pytest.raises(BrainMVPError, match="ask its owner for the permission"):
        read_volume(path)


def test_the_same_grid_is_recognised_despite_rounding(volume):
    moved = volume.affine.copy()
    moved[0, 3] += 1e-4
    assert volume.same_grid(Volume(volume.data, moved))
    moved[0, 3] += 0.5
    assert not volume.same_grid(Volume(volume.data, moved))


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_header_that_declares_more_than_memory_holds_is_refused_unread(volume, suffix, tmp_path):
    path = write_volume(volume, tmp_path / f"a{suffix}")
    content = path.read_bytes()
    if suffix == ".nii":
        content = content[:42] + np.array([20000, 20000, 20000], "<i2").tobytes() + content[48:]
    else:
        content = content.replace(b"7 8 9", b"20000 20000 20000", 1)
    path.write_bytes(content)
    with pytest.raises(BrainMVPError, match=r"a\.\w+ declares 20000 x 20000 x 20000 voxels"):
        read_volume(path)


def test_voxels_of_many_bytes_are_refused_unread(volume, tmp_path):
    path = write_volume(volume, tmp_path / "a.nrrd")
    content = path.read_bytes().replace(b"7 8 9", b"900 900 900", 1)
    path.write_bytes(content.replace(b"type: short", b"type: double", 1))
    with pytest.raises(BrainMVPError, match=r"a\.nrrd declares 900 x 900 x 900 voxels of float64"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii"])
def test_complex_numbers_are_refused_unread(volume, name, tmp_path):
    data = np.ones((7, 8, 9), np.complex64)
    if name == "a.nii":
        nib.save(nib.Nifti1Image(data, volume.affine), tmp_path / name)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(data), str(tmp_path / name))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    with pytest.raises(BrainMVPError, match="complex numbers"):
        read_volume(tmp_path / name)


NRRD_HEADER = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 7 8 9
space directions: (1,0,0) (0,1,0) (0,0,1)
space origin: (0,0,0)
encoding: raw
endian: little
"""
META_HEADER = """ObjectType = Image
NDims = 3
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
ElementSpacing = 1 1 1
DimSize = 7 8 9
ElementType = MET_SHORT
"""


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("a.nhdr", "data file: {}\n"),
        ("a.nrrd", "DataFile: {}\n"),
        ("a.nhdr", "content: x\rdata file: {}\n"),
        ("a.nhdr", "data file: LIST 3\n{}\n"),
    ],
)
def test_a_nrrd_is_read_from_its_headers_own_folder_only(volume, file, lines, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    path, outside = tmp_path / "in" / file, tmp_path / "voxels.raw"
    beside = (path.with_name("voxels.raw"), path.parent / "deep" / "voxels.raw")
    for raw in (outside, *beside):
        raw.write_bytes(volume.data.tobytes(order="F"))
    for name in ("../voxels.raw", str(outside), "deep/../../voxels.raw"):
        path.write_text(NRRD_HEADER + lines.format(name), newline="")
        with pytest.raises(BrainMVPError, match=rf"{file} keeps its voxels in .* outside its folder; "):
            read_volume(path)
    for name in ("voxels.raw", "deep/voxels.raw", str(beside[0])):
        path.write_text(NRRD_HEADER + lines.format(name), newline="")
        assert np.array_equal(read_volume(path).data, volume.data)


@pytest.mark.parametrize(
    "lines",
    [
        "ElementDataFile = {}\n",
        "ElementDataFile : {}\n",
        "ElementDataFile\n = {}\n",
        "Comment = ElementDataFile = LOCAL\nElementDataFile = {}\n",
        "elementdatafile = LOCAL\nElementDataFile = LIST\n{}\n",
    ],
)
def test_a_metaimage_is_one_file(volume, lines, tmp_path):
    path, raw = tmp_path / "a.mha", tmp_path / "a.raw"
    raw.write_bytes(volume.data.tobytes(order="F"))
    path.write_text(META_HEADER + lines.format(raw))
    with pytest.raises(
        BrainMVPError, match=r"a\.mha keeps its voxels in another file; save it as one file\."
    ):
        read_volume(path)
