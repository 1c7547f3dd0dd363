"""Images that are not one file each: clients get one."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from noted_folder import opened

from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.volume import Volume, read_volume, to_itk, write_volume

IMAGE = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([-1.0, 1.5, 2.0, 1.0]))


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    """A study of a header with its voxels beside it, and of a file."""
    folder = tmp_path / "studies" / "p1"
    write_volume(IMAGE, folder / "t2.nii.gz")
    sitk.WriteImage(to_itk(IMAGE), str(folder / "flair.nhdr"))
    assert (folder / "flair.raw").is_file()
    return tmp_path / "studies"


def test_a_header_with_its_voxels_elsewhere_is_sent_as_one_file(headers: Path) -> None:
    store = opened(headers)
    info = store.get_image_info("p1")
    assert (info["name"], info["sequences"]["FLAIR"]["name"]) == ("p1_flair.nii.gz",) * 2
    assert info["sequences"]["FLAIR"]["bytes"] is None  # not made yet
    path = Path(store.get_image_uri("p1"))
    assert np.array_equal(read_volume(path).data, IMAGE.data)
    assert read_volume(path).same_grid(IMAGE)
    assert store.get_image_info("p1")["sequences"]["FLAIR"]["bytes"] == path.stat().st_size
    assert store.get_image_uri("p1@T2") == str(headers / "p1" / "t2.nii.gz")
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        names = {"images/p1/flair.nii.gz", "images/p1/t2.nii.gz"}
        assert {name for name in archive.namelist() if name.startswith("images")} == names
    os.unlink(archive.filename)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.float64])
def test_a_header_may_have_voxels_of_64_bits(headers: Path, kind: type) -> None:
    sitk.WriteImage(to_itk(Volume(IMAGE.data.astype(kind), IMAGE.affine)), str(headers / "p1" / "flair.nhdr"))
    assert np.array_equal(read_volume(opened(headers).get_image_uri("p1")).data, IMAGE.data)


def test_a_header_that_changes_is_sent_anew(headers: Path) -> None:
    store = opened(headers)
    before = Path(store.get_image_uri("p1"))
    assert Path(store.get_image_uri("p1")) == before
    sitk.WriteImage(to_itk(Volume(IMAGE.data + 1, IMAGE.affine)), str(headers / "p1" / "flair.nhdr"))
    after = Path(store.get_image_uri("p1"))
    assert np.array_equal(read_volume(after).data, IMAGE.data + 1)
    assert not before.exists()


def test_a_study_with_a_header_can_be_added_to_and_removed(headers: Path) -> None:
    store = opened(headers)
    made = Path(store.get_image_uri("p1"))
    upload = write_volume(IMAGE, headers.parent / "t1.nii.gz")
    store.add_image("p1", str(upload), {})
    assert list(store.get_image_info("p1")["sequences"]) == ["FLAIR", "T1", "T2"]
    store.remove_image("p1@FLAIR")
    assert list(store.get_image_info("p1")["sequences"]) == ["T1", "T2"]
    assert not made.exists()
    store.remove_image("p1")
    assert store.list_images() == []


def test_what_is_left_out_of_a_study_is_not_fetched(tmp_path: Path) -> None:
    from brainmvp_app.fetched import FetchedImages, only

    series = FetchedImages({Sequence.FLAIR: None, Sequence.T1CE: None}, tmp_path)
    study = only(Study("p1", tmp_path, series), (Sequence.FLAIR,))
    assert list(study.images) == ["FLAIR"]
    assert isinstance(study.images, FetchedImages)
