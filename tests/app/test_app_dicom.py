"""DICOM folders are served like any study: one id, files that clients can read, and DICOM SEG on request."""

import gzip
import io
import json
from collections.abc import Callable

import dicom_files as habit
import nibabel as nib
import numpy as np
import pytest
from app_server import Server, infer
from dicom_files import scan, write_series
from pydicom import dcmread
from pydicom.uid import generate_uid


@pytest.fixture
def dicom_study(server: Server) -> Callable[[str], str]:
    def make(name: str) -> str:
        uid, folder = generate_uid(), server.studies / name
        write_series(folder / "1", scan((44, 52, 40), (1.1, 1, 1.2)), uid, 1, **habit.T1CE)
        write_series(folder / "2", scan((50, 56, 14), (0.9, 0.95, 3.5)), uid, 2, **habit.FLAIR)
        return name

    return make


def test_a_dicom_folder_is_a_study_whose_images_are_made_when_asked_for(
    server: Server, dicom_study: Callable[[str], str]
) -> None:
    study = dicom_study("dicom_listed")
    info = server.get_json("/datastore/image/info", image=study)
    assert list(info["sequences"]) == ["FLAIR", "T1CE"]
    assert (info["reference"], info["name"]) == ("T1CE", "dicom_listed_t1ce.nii.gz")
    assert info["sequences"]["FLAIR"]["bytes"] is None
    assert [(one["what"], one["why"]) for one in info["series"]] == [
        ("T1CE", "TR 8.2, TE 3.2, TI 450 ms; contrast agent"),
        ("FLAIR", "TR 9000, TE 93, TI 2500 ms"),
    ]
    answer = server.call("GET", "/datastore/image", params={"image": f"{study}@FLAIR"})
    image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    expected = scan((50, 56, 14), (0.9, 0.95, 3.5))
    assert np.array_equal(np.asarray(image.dataobj), expected.data)
    assert np.allclose(image.affine, expected.affine, atol=1e-5)
    again = server.get_json("/datastore/image/info", image=study)
    assert again["sequences"]["FLAIR"]["bytes"] == len(answer.content)


def test_dicom_seg_comes_back_for_dicom(server: Server, dicom_study: Callable[[str], str]) -> None:
    study = dicom_study("dicom_seg")
    label = infer(server, study, output="image").content
    labels = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(label)).dataobj)
    answer = infer(server, study, output="dicom_seg")
    assert answer.status_code == 200, answer.text
    seg = dcmread(io.BytesIO(answer.content))
    assert seg.Modality == "SEG"
    assert int(seg.pixel_array.sum()) == np.count_nonzero(labels)
    some = infer(server, f"{study}@FLAIR", output="dicom_seg", sequences=["FLAIR"])
    assert some.status_code == 200, some.text


def test_labels_of_a_dicom_study_are_stored_beside_it(
    server: Server, dicom_study: Callable[[str], str], write_label: Callable[..., object]
) -> None:
    study = dicom_study("dicom_label")
    infer(server, study)
    assert server.label(study, write_label(study)).status_code == 200
    assert server.get_json("/datastore/label/info", label=study, tag="final")["name"] == f"{study}.nii.gz"
    assert json.loads(server.call("GET", "/datastore/?output=all").text)["objects"][study]


def test_a_dicom_study_is_changed_where_it_is_kept(
    server: Server, dicom_study: Callable[[str], str], write_study: Callable[..., object]
) -> None:
    study = dicom_study("dicom_kept")
    flair = write_study("other", "FLAIR") / "other_flair.nii.gz"
    assert "is a DICOM study" in server.upload(study, flair).json()["detail"]
    server.refused(409, "DELETE", "/datastore/image", params={"id": study})
    assert len(list((server.studies / study).rglob("*.dcm"))) == 54
