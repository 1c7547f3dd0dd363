"""An archive is served like a folder: found, segmented, and given its result back, on a real Orthanc."""

import gzip
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import dicom_files as habit
import nibabel as nib
import numpy as np
import pytest
import requests
from app_server import Server, infer, running, wait_for
from archive_server import Archive, running_archive
from dicom_files import scan, write_series
from pydicom import dcmread
from pydicom.uid import RLELossless, generate_uid

from brainmvp.annotation.state import AnnotationState
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

GOOD, BROKEN, KNEE = generate_uid(), generate_uid(), generate_uid()
PRIVATE = ("Secret", "ID-4711", "ACC-0815")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("orthanc")
    with running_archive(folder) as archive:
        sent = folder / "sent"
        t1ce, flair = scan((44, 52, 40), (1.1, 1, 1.2)), scan((50, 56, 14), (0.9, 0.95, 3.5))
        localiser = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
        write_series(sent / "1", scan((20, 20, 3), (2, 2, 9)), GOOD, 1, **localiser)
        write_series(sent / "2", t1ce, GOOD, 2, syntax=RLELossless, **habit.T1CE)
        write_series(sent / "3", flair, GOOD, 3, **habit.FLAIR)
        for path in write_series(sent / "4", flair, BROKEN, 4, **habit.FLAIR)[5:6]:
            broken = dcmread(path)
            broken.PixelData = broken.PixelData[:-500]
            broken.save_as(path)
        write_series(sent / "5", flair, KNEE, 5, **habit.T2 | {"BodyPartExamined": "KNEE"})
        archive.send(sent)
        yield archive


@pytest.fixture(scope="module")
def pacs_server(archive: Archive, tiny_models: Path) -> Iterator[Server]:
    with running(archive.dicom_web, tiny_models, "--conf", "score_archive", "true") as server:
        yield server


@pytest.fixture
def study(pacs_server: Server) -> str:
    return study_with(pacs_server, "T1CE")


def study_with(server: Server, sequence: str) -> str:
    """Return the id of the study that has a sequence."""
    for study in server.get_json("/datastore/", output="all")["objects"]:
        if sequence in server.get_json("/datastore/image/info", image=study)["sequences"]:
            return study
    raise AssertionError(f"no study with {sequence}")


def study_uid_of(archive: Archive, study: str) -> str:
    return archive.get(f"/studies/{study}")["MainDicomTags"]["StudyInstanceUID"]


def test_every_brain_study_is_one_image(pacs_server: Server, study: str) -> None:
    listed = pacs_server.get_json("/datastore/", output="all")["objects"]
    assert len(listed) == 2, "the knee is none, and the series of one study are one image"
    info = pacs_server.get_json("/datastore/image/info", image=study)
    assert list(info["sequences"]) == ["FLAIR", "T1CE"]
    assert [(one["series"], one["what"], one["use"]) for one in info["series"]] == [
        (1, "localiser", "left out"),
        (2, "T1CE", "used"),
        (3, "FLAIR", "used"),
    ]
    assert GOOD not in str(info)


def test_a_series_is_fetched_as_it_lies(pacs_server: Server, study: str) -> None:
    answer = pacs_server.call("GET", "/datastore/image", params={"image": study})
    image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    expected = scan((44, 52, 40), (1.1, 1, 1.2))
    assert np.array_equal(np.asarray(image.dataobj), expected.data)
    assert np.allclose(image.affine, expected.affine, atol=1e-5)


def test_a_final_label_is_seen_in_the_archive_as_seg(
    pacs_server: Server, archive: Archive, study: str, tmp_path: Path
) -> None:
    draft = infer(pacs_server, study, output="image")
    assert draft.status_code == 200, draft.text
    proposed = nib.Nifti1Image.from_bytes(gzip.decompress(draft.content))
    corrected = np.asarray(proposed.dataobj).astype(np.uint8)
    corrected[20:24, 20:24, 10:14] = 3
    file = write_volume(Volume(corrected, proposed.affine), tmp_path / "label.nii.gz")
    answer = pacs_server.label(study, file, params='{"model": "tumour@1"}')
    assert answer.status_code == 200, answer.text
    (series,) = archive.series_of(GOOD, "SEG")
    content = requests.get(f"{archive.url}/instances/{series['Instances'][0]}/file", timeout=60).content
    seg = dcmread(io.BytesIO(content))
    assert int(seg.pixel_array.sum()) == np.count_nonzero(corrected)
    (source,) = [s for s in archive.series_of(GOOD, "MR") if s["MainDicomTags"]["SeriesNumber"] == "2"]
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source["MainDicomTags"]["SeriesInstanceUID"]
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert (str(seg.PatientName), seg.PatientID) == ("Secret^Patient", "ID-4711")


def test_without_t1ce_a_label_is_sent_as_the_whole_tumour_unless_more_was_drawn() -> None:
    from brainmvp_app.pacs_store import names_of

    task, flair = get_task("tumour"), {Sequence.FLAIR}
    assert names_of(task, flair, np.array([0, 2])) == {2: "Whole tumour"}
    assert names_of(task, flair, np.array([0, 1, 2])) is None


def test_the_studies_are_scored_where_that_is_wished(
    pacs_server: Server, study: str, tiny_models: Path
) -> None:
    (broken,) = {*pacs_server.get_json("/datastore/", output="all")["objects"]} - {study}
    (folder,) = (tiny_models / "archives").iterdir()
    wait_for(lambda: len(AnnotationState(folder).scores.bases("tumour")) == 2)
    assert pacs_server.get_json("/progress")["scored"]["tumour"] == 1
    known = AnnotationState(folder).scores.facts("tumour")
    assert known[study].entropy
    assert known[study].embedding is not None
    assert not known[broken].entropy


def test_a_study_that_the_archive_does_not_give_is_scored_later(
    archive: Archive, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(home))
    from brainmvp_app import scorer as scoring
    from brainmvp_app.infer import SegmentationTask
    from brainmvp_app.pacs import ArchiveError
    from brainmvp_app.pacs_store import PacsDatastore, archive_folder

    archive_folder(archive.dicom_web).mkdir(parents=True)  # by an earlier release, for everybody to read
    monkeypatch.setattr(scoring, "_ASK_AGAIN", 0.0)
    task = get_task("tumour")
    store = PacsDatastore(archive.dicom_web, (task,))
    assert store.root.stat().st_mode & 0o077 == 0 or os.name == "nt"
    (study,) = (s.id for s in store.studies() if "T1CE" in s.images)
    scores = AnnotationState(store.root).scores
    scorer = scoring.Scorer(store, scores, {"tumour": SegmentationTask(task, store, "cpu")}, "cpu")
    archive.stop()
    try:
        with pytest.raises(ArchiveError, match="cannot be reached"):
            scorer._score_one()
        assert not scores.bases("tumour")
    finally:
        archive.start()
    while scorer._score_one():
        pass
    assert scores.facts("tumour")[study].entropy


def test_a_draft_is_not_stored_in_the_archive(pacs_server: Server, archive: Archive, study: str) -> None:
    before = len(archive.series_of(GOOD, "SEG"))
    assert infer(pacs_server, study, save_label=True, label_tag="proposal").status_code == 200
    assert len(archive.series_of(GOOD, "SEG")) == before


def test_dicom_seg_is_answered_for_an_archived_study(pacs_server: Server, study: str) -> None:
    answer = infer(pacs_server, study, output="dicom_seg")
    assert answer.status_code == 200, answer.text
    assert dcmread(io.BytesIO(answer.content)).StudyInstanceUID == GOOD


def test_a_broken_series_is_named_and_the_others_go_on(pacs_server: Server, study: str) -> None:
    (broken,) = {*pacs_server.get_json("/datastore/", output="all")["objects"]} - {study}
    answer = infer(pacs_server, broken)
    assert answer.status_code == 422
    assert "series 4 tra dark-fluid 5mm: file 00006.dcm cannot be decoded" in answer.json()["detail"]
    assert infer(pacs_server, study).status_code == 200


def test_the_archives_studies_are_changed_in_the_archive(
    pacs_server: Server, study: str, write_study: Callable[..., Path]
) -> None:
    flair = write_study("other", "FLAIR") / "other_flair.nii.gz"
    assert "come from an archive" in pacs_server.upload("new_one", flair).json()["detail"]
    pacs_server.refused(409, "DELETE", "/datastore/image", params={"id": study})


def test_what_arrives_in_the_archive_is_listed_and_the_rest_is_left_as_it_was(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brainmvp_app import pacs_catalogue
    from brainmvp_app.pacs import Pacs

    monkeypatch.setattr(pacs_catalogue, "_EVERY_SECONDS", 0.0)
    catalogue = pacs_catalogue.PacsCatalogue(tmp_path / "here", Pacs(archive.dicom_web))
    catalogue.scan()
    before, new = dict(catalogue.studies), generate_uid()
    write_series(tmp_path / "new", scan((50, 56, 14), (0.9, 0.95, 3.5)), new, 1, **habit.T2)
    archive.send(tmp_path / "new")

    def listed() -> bool:
        if catalogue.changed():
            catalogue.scan()
        return len(catalogue.studies) > len(before)

    wait_for(listed)
    (added,) = catalogue.studies.keys() - before.keys()
    assert list(catalogue.studies[added].images) == ["T2"]
    assert all(catalogue.studies[study] is before[study] for study in before)
    (stored,) = [s for s in archive.get("/studies") if study_uid_of(archive, s) == new]
    requests.delete(f"{archive.url}/studies/{stored}", timeout=60).raise_for_status()


def test_an_archive_that_went_away_is_said_and_what_is_here_goes_on(
    pacs_server: Server, archive: Archive, study: str, tiny_models: Path
) -> None:
    infer(pacs_server, study)
    (broken,) = {*pacs_server.get_json("/datastore/", output="all")["objects"]} - {study}
    archive.stop()
    try:
        assert infer(pacs_server, study).status_code == 200
        answer = infer(pacs_server, broken)
        assert answer.status_code == 502
        assert "cannot be reached; check that the archive runs" in answer.json()["detail"]
        from brainmvp_app.pacs import Pacs
        from brainmvp_app.pacs_catalogue import PacsCatalogue

        (folder,) = (tiny_models / "archives").iterdir()
        restarted = PacsCatalogue(folder, Pacs(archive.dicom_web))
        restarted.scan()
        assert set(restarted.studies) == {study, broken}, "what the archive held is remembered"
        assert [e.verdict.what for e in restarted.studies[study].series] == ["localiser", "T1CE", "FLAIR"]
        assert "cannot be reached" in restarted.problems["archive"]
    finally:
        archive.start()


def test_nothing_that_identifies_the_patient_is_kept_or_logged(
    pacs_server: Server, study: str, tiny_models: Path
) -> None:
    infer(pacs_server, study)
    log = pacs_server.log.read_text("utf-8", "replace")
    assert study in log
    for word in (*PRIVATE, GOOD, BROKEN):
        assert word not in log
    kept = [path for path in tiny_models.rglob("*") if path.is_file()]
    assert any(path.name == "archive.json" for path in kept)
    for path in kept:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert not [word for word in PRIVATE if word.encode() in content], path
    models = [path for path in kept if "models" in path.relative_to(tiny_models).parts]
    assert not [path for path in models if GOOD.encode() in path.read_bytes()]
