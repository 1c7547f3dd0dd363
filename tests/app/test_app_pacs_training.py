"""Training over an archive: its labelled studies teach, by patient, on a real Orthanc."""

import gzip
from collections import Counter
from pathlib import Path

import dicom_files as habit
import nibabel as nib
import numpy as np
from app_server import Server, running, training
from archive_server import running_archive
from dicom_files import scan, write_series
from pydicom.uid import generate_uid

from brainmvp.annotation.cases import patient_of
from brainmvp.card import mark_of
from brainmvp.modelstore import ModelStore
from brainmvp.volume import Volume, write_volume

NUMBERS = (1, 2, 3, 4, 5, 6, 6)  # the last patient came twice


def label(server: Server, study: str, folder: Path) -> None:
    """Submit a final label with every value of the task."""
    answer = server.call("GET", "/datastore/image", params={"image": study})
    image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    data = np.zeros(image.shape, np.uint8)
    for value in (2, 1, 3):
        data[6 + value : 16, 8 + value : 18, 6 + value : 14] = value
    file = write_volume(Volume(data, image.affine), folder / "label.nii.gz")
    server.label(study, file).raise_for_status()


def test_the_labelled_studies_of_an_archive_train_and_no_patient_is_on_two_sides(
    home: Path, tmp_path: Path
) -> None:
    with running_archive(tmp_path) as archive:
        for number, patient in enumerate(f"Number-{n}" for n in NUMBERS):
            uid, volume = generate_uid(), scan((22, 24, 20), (2.2, 2.2, 2.2), number)
            write_series(tmp_path / f"{number}" / "1", volume, uid, 1, PatientID=patient, **habit.T1CE)
            write_series(tmp_path / f"{number}" / "2", volume, uid, 2, PatientID=patient, **habit.FLAIR)
            archive.send(tmp_path / f"{number}")
        with running(archive.dicom_web, home) as server:
            studies = server.get_json("/datastore/", output="all")["objects"]
            assert len(studies) == 7
            visits = Counter(map(patient_of, studies))
            assert sorted(visits.values()) == [1, 1, 1, 1, 1, 2]
            last = next(study for study in studies if visits[patient_of(study)] == 1)
            for study in sorted(studies, key=lambda study: study == last):
                if study == last:
                    missing = server.refused(422, "POST", "/train/tumour", json={})
                    assert "needs final labels of 1 more patient: there are 5" in missing
                label(server, study, tmp_path)
            wish = {"epochs": 1, "steps": 2}
            server.call("POST", "/train/tumour", json=wish).raise_for_status()
            progress = training(server)
            assert progress["state"] == "done", progress
            held_out = set(server.get_json("/progress")["held_out"]["tumour"]["patients"])
            newest = max(ModelStore(home).versions("tumour"))
            card = ModelStore(home).get("tumour", newest).card
            of_mark = {mark_of(study): patient_of(study) for study in studies}
            taught = {of_mark[mark] for mark in (*card.training["train"], *card.training["validation"])}
            assert len(held_out) == 3
            assert held_out | taught == visits.keys()
            assert not held_out & taught
            measured = [
                entry["held_out"] for entry in server.get_json("/models") if entry["name"] == "tumour"
            ]
            assert measured[-1]["cases"] >= 3
        kept = [path for path in (home / "archives").rglob("*") if path.is_file()]
        assert not [path for path in kept if b"Number-1" in path.read_bytes()]
        (secret,) = (path for path in kept if path.name == "secret")
        assert secret.stat().st_mode & 0o077 == 0
