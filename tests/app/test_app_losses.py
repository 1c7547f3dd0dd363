"""Nothing that is noted about studies gets lost, whatever becomes of disks and processes."""

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from noted_folder import TUMOUR, annotators, labelled, opened, scan

from brainmvp.annotation.journal import Journal
from brainmvp.annotation.state import AnnotationState
from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume, write_volume


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


def test_whose_label_is_replaced_is_known(root: Path) -> None:
    store = labelled(root)
    assert [store.drawn_by(study, "final") for study in ("p1", "p1@FLAIR", "p3")] == ["Anna", "Anna", ""]
    assert store.drawn_by("p1", "draft") == ""


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


def test_half_a_character_is_refused_before_it_is_noted() -> None:
    from brainmvp_app.annotator import annotator_of
    from brainmvp_app.routes import json_object

    assert json_object('{"annotator": "\\ud83e\\udde0"}') == {"annotator": "🧠"}
    with pytest.raises(BrainMVPError, match="no Unicode"):
        json_object('{"annotator": "\\udcfc"}')
    with pytest.raises(BrainMVPError, match="no Unicode"):
        annotator_of({"annotator": "Anna", "reason": "\udcfc"})


def test_what_an_archive_does_not_take_is_written_down_all_the_same_and_once(root: Path) -> None:
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
