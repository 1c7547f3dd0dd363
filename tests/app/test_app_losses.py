"""Nothing that is noted about studies gets lost or blinds the server, whatever becomes of their folders and names."""

import errno
import json
import os
import threading
import time
import zipfile
from collections import UserDict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dicom_files as habit
import numpy as np
import pytest
from app_server import APP
from dicom_files import write_series
from pydicom.uid import generate_uid

from brainmvp.annotation.cases import came_late
from brainmvp.annotation.journal import Journal
from brainmvp.annotation.state import AnnotationState
from brainmvp.case import read_label
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

TUMOUR = get_task("tumour")


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the app be imported."""
    monkeypatch.syspath_prepend(str(APP))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("p1", "siteA/p2", "siteA/p3"):
        scan(tmp_path / "studies" / name / "flair.nii.gz")
    return tmp_path / "studies"


def scan(path: Path) -> Path:
    return write_volume(Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), path)


def opened(root: Path):  # the app can only be imported in a test
    from brainmvp_app.datastore import StudyDatastore

    return StudyDatastore(str(root), (TUMOUR,))


def labelled(root: Path):
    store = opened(root)
    label = write_volume(Volume(np.ones((3, 4, 5), np.uint8), np.eye(4)), root.parent / "label.nii.gz")
    for study in ("p1", "p2"):
        store.save_label(study, str(label), "final", {"annotator": "Anna"})
    return store


def annotators(store) -> list[str]:
    return [store.get_label_info(study, "final")["annotator"] for study in ("p1", "p2")]


@pytest.mark.parametrize("empty", [False, True], ids=["gone", "empty mount point"])
def test_a_share_that_is_away_for_a_while_comes_back_with_its_notes(root: Path, empty: bool) -> None:
    from brainmvp_app.errors import status_of

    store = labelled(root)
    away = root.rename(root.with_name("away"))
    if empty:
        root.mkdir()
    for _ in range(2):  # what was sent may be sent again: no refusal of it
        with pytest.raises(BrainMVPError, match="cannot be reached") as refused:
            store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {})
        assert status_of(refused.value) == 503
    if empty:
        root.rmdir()
    away.rename(root)
    scan(root / "p4" / "flair.nii.gz")
    assert store.list_images() == ["p1", "p2", "p3", "p4"]
    assert annotators(store) == annotators(opened(root)) == ["Anna", "Anna"]


def test_a_label_of_a_study_that_gains_a_sequence_while_it_is_open_is_taken(root: Path) -> None:
    from brainmvp_app.errors import status_of

    store = labelled(root)
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    write_volume(Volume(np.arange(60, dtype=np.int16).reshape(5, 4, 3), grid), root / "siteA/p3/t1ce.nii.gz")
    assert store.get_image_info("p3")["reference"] == "T1CE"
    store.save_label("p3", str(root.parent / "label.nii.gz"), "final", {})
    (case,) = (case for case in AnnotationState(root).cases(TUMOUR, (TUMOUR,)) if case.id == "p3")
    assert read_label(TUMOUR, case)[1] == "FLAIR"
    other = write_volume(Volume(np.ones((3, 4, 5), np.uint8), grid), root.parent / "other.nii.gz")
    with pytest.raises(BrainMVPError, match="does not lie on the grid of t1ce") as refused:
        store.save_label("p3", str(other), "final", {})
    assert status_of(refused.value) == 422


def test_a_label_says_nothing_of_what_a_sequence_shows_that_came_after_it(
    root: Path,
) -> None:
    import main

    store, state = labelled(root), AnnotationState(root)
    label = root.parent / "label.nii.gz"
    for name in ("p1", "p2"):
        write_volume(Volume(np.full((3, 4, 5), 2, np.uint8), np.eye(4)), label)
        main.BrainMVPApp.submit(SimpleNamespace(_datastore=store, state=state), name, label, "final", {})

    def told() -> dict[str, list[str]]:
        return {
            case.id: [r.name for r in came_late(TUMOUR, case)[1]] for case in state.cases(TUMOUR, (TUMOUR,))
        }

    assert told() == {"p1": [], "p2": []}
    assert store.status()["problems"] == {}
    scan(root / "p1" / "t1ce.nii.gz")
    assert told() == {"p1": ["TC", "ET"], "p2": []}
    (problem,) = store.status()["problems"].items()
    assert problem[0] == "labels/final/p1"
    assert problem[1].startswith("The label was drawn without T1CE, so tumour core and enhancing tumour are")
    main.BrainMVPApp.submit(SimpleNamespace(_datastore=store, state=state), "p1", label, "final", {})
    assert told()["p1"] == []
    assert store.status()["problems"] == {}


@pytest.mark.parametrize(("value", "seen"), [(2, ["FLAIR"]), (3, ["FLAIR", "T1CE"])])
def test_a_label_on_another_grid_was_begun_without_the_sequence_that_came_meanwhile(
    root: Path, value: int, seen: list[str]
) -> None:
    store, grid = labelled(root), np.diag([2.0, 2.0, 2.0, 1.0])
    write_volume(Volume(np.arange(60, dtype=np.int16).reshape(5, 4, 3), grid), root / "p1" / "t1ce.nii.gz")
    label = Volume(np.full((3, 4, 5), value, np.uint8), np.eye(4))
    write_volume(label, root.parent / "label.nii.gz")
    store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"sequences": ["T2"]})
    assert store.drawn_with("p1", "final") == seen


@pytest.mark.parametrize(
    ("value", "stated", "seen"),
    [
        (2, ["FLAIR", "T2"], ["T2", "FLAIR"]),
        (3, ["FLAIR"], ["T1CE", "FLAIR"]),  # the core was drawn
        (2, ["DWI"], ["T1CE", "T2", "FLAIR"]),  # none of the study's
        (2, None, ["T1CE", "T2", "FLAIR"]),
    ],
)
def test_a_label_says_nothing_of_what_its_annotator_left_out(
    root: Path, value: int, stated: list[str] | None, seen: list[str]
) -> None:
    store, label = labelled(root), Volume(np.full((3, 4, 5), value, np.uint8), np.eye(4))
    for name in ("t1ce", "t2"):
        scan(root / "p1" / f"{name}.nii.gz")
    write_volume(label, root.parent / "label.nii.gz")
    store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"sequences": stated})
    assert sorted(store.drawn_with("p1", "final")) == sorted(seen)


@pytest.mark.parametrize("stated", ["FLAIR", [], ["FLAIR", 3], ["flair"], {"FLAIR": 1}])
def test_what_a_label_was_drawn_with_is_a_list_of_sequences(root: Path, stated: object) -> None:
    from brainmvp_app.errors import status_of

    store = labelled(root)
    with pytest.raises(BrainMVPError, match="sequences has to be a list") as refused:
        store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"sequences": stated})
    assert status_of(refused.value) == 400


def test_a_study_is_not_put_where_it_would_hide_others(root: Path) -> None:
    store = labelled(root)
    with pytest.raises(BrainMVPError, match="siteA is a folder of studies") as refused:
        store.add_image("siteA", str(scan(root.parent / "t1ce.nii.gz")), {})
    assert refused.value.status == 409
    assert store.list_images() == ["p1", "p2", "p3"]
    store.remove_image("p2")
    scan(root / "siteA" / "p2" / "flair.nii.gz")
    assert store.json()["objects"]["p2"]["labels"] == {}


def test_what_the_process_of_a_batch_inference_notes_and_the_server_meanwhile_is_kept(root: Path) -> None:
    server, batch, label = labelled(root), opened(root), str(root.parent / "label.nii.gz")
    server.save_label("p3", label, "final", {"annotator": "Ben"})
    for study in ("p1", "p2"):
        batch.save_label(study, label, "original", {"model": "tumour@2"})
    assert server.get_label_info("p1", "original")["model"] == "tumour@2"
    server.save_label("p1", label, "second", {"annotator": "Cleo"})
    batch.save_label("p3", label, "original", {"model": "tumour@2"})
    later = opened(root)
    assert annotators(later) == ["Anna", "Anna"]
    assert later.get_label_info("p1", "second")["annotator"] == "Cleo"
    assert later.get_label_info("p3", "final")["annotator"] == "Ben"
    assert {later.get_label_info(study, "original")["model"] for study in ("p1", "p2", "p3")} == {"tumour@2"}
    server.remove_label("p1", "original")
    assert "original" not in opened(root).get_labels_by_image_id("p1")


def test_notes_of_a_label_that_was_only_found_replace_no_others(root: Path) -> None:
    store, path = labelled(root), root / ".brainmvp" / "datastore_v2.json"
    notes = json.loads(path.read_text("utf-8"))
    found = {"ts": int(time.time()) + 100, "name": "p1.nii.gz"}
    notes["objects"]["p1"]["labels"]["final"]["info"] = found
    path.write_text(json.dumps(notes), "utf-8")  # as another process does that saw the file first
    assert annotators(store) == ["Anna", "Anna"]


def test_what_a_killed_server_was_writing_is_swept_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, synced = labelled(root), []
    left = root / "labels" / "final" / ".writing-x.nii.gz"
    left.touch()
    os.utime(left, (0, 0))
    opened(root)
    assert not left.exists()
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    store.save_label("p3", str(root.parent / "label.nii.gz"), "final", {})
    assert (root / "labels" / "final" / "p3.nii.gz").stat().st_ino in synced


def test_a_label_whose_study_was_renamed_is_told(root: Path) -> None:
    store = labelled(root)
    (root / "p1").rename(root / "p1-renamed")
    problems = store.status()["problems"]
    assert list(problems) == ["labels/final/p1"]
    assert "No study has this name" in problems["labels/final/p1"]
    (root / "p1-renamed").rename(root / "p1")
    assert store.status()["problems"] == {}


def test_a_dicom_study_keeps_its_label_when_one_of_the_same_name_comes(tmp_path: Path) -> None:
    def write(patient: str) -> None:
        volume = Volume(np.ones((24, 24, 12)), np.diag([2.0, 2, 4, 1]))
        write_series(tmp_path / patient / "DICOM", volume, generate_uid(), **habit.FLAIR)

    write("BERT")
    store = opened(tmp_path)
    assert not (
        tmp_path / ".brainmvp" / "ids.json"
    ).exists()  # nothing is called by it: it may still be arriving
    (tmp_path / "labels" / "final" / "DICOM.nii.gz").touch()
    assert store.status()["completed"] == 1
    write("ANNA")
    assert store.get_labeled_images() == ["DICOM"]
    bert, anna = store.studies()
    assert (bert.id, bert.folder.parent.name, anna.folder.parent.name) == ("DICOM", "BERT", "ANNA")
    assert store.status()["problems"] == {}
    # As it is after a release that kept no ids.
    (tmp_path / ".brainmvp" / "ids.json").unlink()
    store.refresh()
    (bert,) = [study.id for study in store.studies() if study.folder.parent.name == "BERT"]
    assert f"has another name now ({bert}, by its folder)" in store.status()["problems"]["labels/final/DICOM"]


def test_a_study_keeps_its_label_when_one_of_the_same_name_comes(root: Path) -> None:
    store = labelled(root)
    scan(root / "A" / "p2" / "flair.nii.gz")  # comes before siteA/p2
    assert store.study("p2").folder == root / "siteA" / "p2"
    assert list(store.status()["problems"]) == ["A/p2"]


def test_a_held_out_patient_who_is_gone_is_told_and_how_the_test_stays_one(root: Path) -> None:
    store = labelled(root)
    path = root / ".brainmvp" / "held-out-tumour.json"
    held_out = {"task": "tumour", "patients": ["p1"], "of": 6, "seed": 0, "chosen": "2026-01-01"}
    path.write_text(json.dumps(held_out), "utf-8")
    assert store.status()["problems"] == {}
    (root / "p1").rename(root / "p1-renamed")
    problems = store.status()["problems"]
    file = ".brainmvp/held-out-tumour.json"
    assert list(problems) == ["labels/final/p1", f"{file}: p1"]
    assert problems["labels/final/p1"].endswith(f"and write the patient's new name into {file}, too.")
    assert "write the new one into this file" in problems[f"{file}: p1"]
    path.write_text("{", "utf-8")
    assert "is damaged; restore it" in store.status()["problems"][file]


def test_whose_label_is_replaced_is_known(root: Path) -> None:
    store = labelled(root)
    assert [store.drawn_by(study, "final") for study in ("p1", "p1@FLAIR", "p3")] == ["Anna", "Anna", ""]
    assert store.drawn_by("p1", "draft") == ""


def test_a_label_is_of_the_task_that_is_named_or_whose_model_proposed_it(root: Path) -> None:
    store = labelled(root)
    store.tasks = (TUMOUR, TUMOUR.model_copy(update={"name": "our-tumours"}))
    label = store.get_label_uri("p1", "final")
    for notes, task in (
        ({}, "tumour"),
        ({"model": "our-tumours@3"}, "our-tumours"),
        ({"model": "our-tumours@3", "task": "tumour"}, "tumour"),
        ({"model": "lesions@3"}, "tumour"),
    ):
        store.save_label("p3", label, "draft", notes)
        assert store.get_label_info("p3", "draft")["task"] == task


def test_a_changed_copy_of_a_study_is_not_proposed_beside_it(root: Path) -> None:
    from brainmvp_app.choice import Chooser

    store = opened(root)
    image = write_volume(Volume(np.ones((3, 4, 5), np.int16), np.eye(4)), root.parent / "flair.nii.gz")
    store.add_image("p1-changed", str(image), {"sequence": "FLAIR", "copy_of": "p1"})
    chooser = Chooser(store, AnnotationState(root, 60, store.studies), 0)
    assert [chooser.choose("sequential", name).get("id") for name in "ABCD"] == ["p1", "p2", "p3", None]
    (root / "p1" / "flair.nii.gz").unlink()
    assert chooser.choose("sequential", "D")["id"] == "p1-changed"


def test_a_name_in_an_old_encoding_is_told_and_stops_nothing(root: Path) -> None:
    folder = Path(os.fsdecode(b"M\xfcller"))
    scan(root / folder / "flair.nii.gz")
    scan(root / "p5" / os.fsdecode(b"\xfc_flair.nii.gz"))
    store = labelled(root)
    assert store.list_images() == ["p1", "p2", "p3"]
    problems = json.dumps(store.status(), ensure_ascii=False).encode().decode()
    assert problems.count("old encoding; rename it") == 2
    assert annotators(opened(root)) == ["Anna", "Anna"]


def test_a_name_too_long_for_a_label_is_told_and_stops_nothing(root: Path) -> None:
    scan(root / ("脑" * 80 + "x" * 10) / "flair.nii.gz")
    scan(root / ("y" * 250) / "flair.nii.gz")
    store = labelled(root)
    assert store.list_images() == ["p1", "p2", "p3"]
    problems = store.status()["problems"].values()
    assert ["too long" in problem for problem in problems] == [True, True]
    assert [case.id for case in AnnotationState(root).cases(TUMOUR, (TUMOUR,))] == ["p1", "p2"]


def test_a_corrected_table_of_sequences_is_noticed(root: Path) -> None:
    store = labelled(root)
    scan(root / "p4" / "a.nii.gz")
    table = root / "p4" / "study.json"
    table.write_text('{"sequences": {"FLAIR": "b.nii.gz"}}', "utf-8")
    assert "names b.nii.gz" in store.status()["problems"]["p4"]
    table.write_text('{"sequences": {"FLAIR": "a.nii.gz"}}', "utf-8")
    assert store.status()["problems"] == {}
    assert "p4" in store.list_images()


def test_a_list_of_images_that_have_to_be_fetched_keeps_nobody_waiting(root: Path) -> None:
    store, others = labelled(root), []

    class Slow(UserDict):
        def __getitem__(self, sequence: Sequence) -> Path:
            other = threading.Thread(target=lambda: others.append(store.list_images()), daemon=True)
            other.start()
            other.join(5)
            assert not other.is_alive()
            return super().__getitem__(sequence)

    known = store.catalogue.studies
    for name in list(known):
        known[name] = replace(known[name], images=Slow(known[name].images))
    listed = store.datalist(full_path=False)
    assert [(one["id"], one["image"], one["label"]) for one in listed] == [
        ("p1", "p1/flair.nii.gz", "labels/final/p1.nii.gz"),
        ("p2", "siteA/p2/flair.nii.gz", "labels/final/p2.nii.gz"),
    ]
    assert listed[0]["sequences"] == {"FLAIR": "p1/flair.nii.gz"}
    assert others


def test_a_label_that_is_sent_again_to_a_full_disk_is_kept_as_one_version(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brainmvp_app import datastore

    store = labelled(root)
    other = write_volume(Volume(np.zeros((3, 4, 5), np.uint8), np.eye(4)), root.parent / "other.nii.gz")

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(root))

    with monkeypatch.context() as disk:
        disk.setattr(datastore, "atomically", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                store.save_label("p1", str(other), "final", {})
    store.save_label("p1", str(other), "final", {"annotator": "Ben"})
    info = store.get_label_info("p1", "final")
    assert (info["annotator"], [one["annotator"] for one in info["versions"]]) == ("Ben", ["Anna"])


def test_what_a_killed_server_left_among_earlier_labels_stops_no_labelling(root: Path) -> None:
    store = labelled(root)
    folder = root / ".brainmvp" / "labels" / "final" / "p1"
    folder.mkdir(parents=True)
    for name in (".writing-x.nii.gz", "._1.nii.gz"):
        (folder / name).touch()
    other = write_volume(Volume(np.zeros((3, 4, 5), np.uint8), np.eye(4)), root.parent / "other.nii.gz")
    store.save_label("p1", str(other), "final", {})
    assert [one["version"] for one in store.get_label_info("p1", "final")["versions"]] == [1]


def test_of_two_files_of_one_label_the_one_that_trains_is_shown(root: Path) -> None:
    store = labelled(root)
    for study in ("p1", "p3"):
        for suffix in (".nii.gz", ".seg.nrrd", ".nrrd"):
            path = root / "labels" / "final" / f"{study}{suffix}"
            path.exists() or path.write_bytes(b"x")
    cases = AnnotationState(root).cases(TUMOUR, (TUMOUR,))
    for each in (store, opened(root)):
        shown = {study: each.get_label_uri(study, "final") for study in each.get_labeled_images()}
        assert shown == {case.id: str(case.label) for case in cases}


def test_labels_that_have_gone_do_not_put_the_next_training_off(root: Path) -> None:
    from brainmvp_app.training import FineTuning

    state = AnnotationState(root)
    trainer = FineTuning(TUMOUR, (TUMOUR,), state, "cpu")
    trainer._training.cases = lambda: ["a", "b", "c"]
    assert trainer.new_labels() == 3
    for task, detail in (
        ("tumour", {"labels_seen": 8}),
        ("tumour", {"labels_seen": 1}),
        ("stroke", {"labels_seen": 9}),
    ):
        state.journal.add("training", task=task, detail=detail)
    state.journal.add("training", task="tumour", detail={"state": "failed"})
    assert trainer.new_labels() == 2


def test_half_a_character_is_refused_before_it_is_noted() -> None:
    from brainmvp_app.annotator import annotator_of
    from brainmvp_app.routes import json_object

    assert json_object('{"annotator": "\\ud83e\\udde0"}') == {"annotator": "🧠"}
    with pytest.raises(BrainMVPError, match="no Unicode"):
        json_object('{"annotator": "\\udcfc"}')
    with pytest.raises(BrainMVPError, match="no Unicode"):
        annotator_of({"annotator": "Anna", "reason": "\udcfc"})


def test_old_files_and_long_names_can_be_sent(root: Path) -> None:
    from brainmvp_app.incoming import received

    os.utime(root / "p1" / "flair.nii.gz", (0, 0))
    with zipfile.ZipFile(labelled(root).get_dataset_archive(None)) as archive:
        assert "images/p1/flair.nii.gz" in archive.namelist()
    os.unlink(archive.filename)
    with (
        (root / "p1" / "flair.nii.gz").open("rb") as stream,
        received(stream, "脑" * 100 + ".nii.gz") as path,
    ):
        assert path.is_file()


def test_labels_that_come_while_all_studies_are_packed_spoil_nothing(root: Path) -> None:
    store, label = labelled(root), str(root.parent / "label.nii.gz")
    store.save_label("p3", label, "draft", {})

    class Large(UserDict):
        def __getitem__(self, sequence: Sequence) -> Path:
            store.save_label("p3", label, "final", {})
            return super().__getitem__(sequence)

    known = store.catalogue.studies
    known["p1"] = replace(known["p1"], images=Large(known["p1"].images))
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        names = archive.namelist()
    os.unlink(archive.filename)
    assert "images/p1/flair.nii.gz" in names
    assert "labels/draft/p3.nii.gz" in names
    assert store.get_labels_by_image_id("p3").keys() == {"final"}


def test_a_client_names_no_folder_of_modules_and_starts_one_training(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monailabel.utils.async_tasks.task import AsyncTask

    from brainmvp_app import training
    from brainmvp_app.errors import RefusedError
    from brainmvp_app.routes import run_batch

    started: list[dict] = []

    def run(method: str, request: dict, enqueue: bool) -> tuple[dict, None]:
        started.append({"status": "SUBMITTED", "request": request})
        return started[-1], None

    monkeypatch.setattr(AsyncTask, "run", run)  # starts a process
    monkeypatch.setattr(training, "tasks", lambda method: started)
    both = threading.Barrier(2, timeout=0.5)

    def check(request: dict) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait()

    trainer = SimpleNamespace(task=TUMOUR, check=check)
    state, refused = AnnotationState(root), []

    def ask() -> None:
        try:
            training.start_training(trainer, state, {"bundle_path": "/tmp", "epochs": 3})
        except RefusedError as error:
            refused.append(error.status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one["request"] for one in started] == [{"epochs": 3, "model": "tumour"}]
    assert refused == [429]
    started.append({"status": "DONE"})
    for wish in ("bundle_path", "gpus", "model"):
        with pytest.raises(RefusedError, match=f"may not set {wish}"):
            run_batch(None, "tumour", params={wish: "/tmp"})


def test_what_an_archive_does_not_take_is_written_down_all_the_same_and_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(APP))
    import main
    from brainmvp_app.errors import RefusedError
    from brainmvp_app.pacs import ArchiveError
    from brainmvp_app.pacs_store import PacsDatastore

    store = labelled(root)
    store.hand_on = lambda *args: PacsDatastore.hand_on(store, *args)
    app = SimpleNamespace(_datastore=store, state=AnnotationState(root))
    notes = {"annotator": "Anna", "seconds": 60}
    for error, status in ((ArchiveError("It is away."), 502), (BrainMVPError("It has changed."), 409)):

        def fail(*args: object, error: Exception = error) -> None:
            raise error

        store._send = fail
        with pytest.raises(RefusedError, match="stored on this server, but not in the archive") as refused:
            main.BrainMVPApp.submit(app, "p3", root.parent / "label.nii.gz", "final", notes)
        assert refused.value.status == status
    (event,) = Journal(app.state.database).events("final")
    assert (event.study, event.task, event.annotator, event.seconds) == ("p3", "tumour", "Anna", 60)
