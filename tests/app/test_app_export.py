"""All studies and labels are listed and packed while others work on."""

import json
import os
import threading
import zipfile
from collections import UserDict
from dataclasses import replace
from pathlib import Path

from noted_folder import labelled, opened, scan

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence


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


def test_images_are_packed_by_their_sequence_whatever_their_files_are_called(root: Path) -> None:
    names = {"T1": "t1/image.nii.gz", "FLAIR": "flair/image.nii.gz", "T2": "scan_004.nii.gz"}
    files = {sequence: scan(root / "p4" / name) for sequence, name in names.items()}
    (root / "p4" / "study.json").write_text(json.dumps({"sequences": names}))
    for number, file in enumerate(files.values()):
        file.write_bytes(file.read_bytes() + bytes([number]))
    with zipfile.ZipFile(opened(root).get_dataset_archive(None)) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if name.startswith("images/p4/")}
    os.unlink(archive.filename)
    assert packed == {f"images/p4/{s.lower()}.nii.gz": file.read_bytes() for s, file in files.items()}


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


def test_what_cannot_be_fetched_is_left_out_and_told(root: Path) -> None:
    store = labelled(root)
    (root / "p1" / "flair.nii.gz").unlink()
    (root / "p1" / "flair.nii.gz").symlink_to(
        root / ".git" / "annex" / "flair.nii.gz"
    )  # as DataLad leaves it

    class Damaged(UserDict):
        def __getitem__(self, sequence: Sequence) -> Path:
            raise BrainMVPError("Series 7 cannot be decoded.")

    store.refresh()
    known = store.catalogue.studies
    known["p3"] = replace(known["p3"], images=Damaged(known["p3"].images))
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        assert [name for name in archive.namelist() if name.startswith("images/")] == [
            "images/p2/flair.nii.gz"
        ]
        problems = json.loads(archive.read("problems.json"))
    os.unlink(archive.filename)
    assert problems == {
        "images/p1/flair": "flair.nii.gz cannot be read (No such file or directory); fetch it, or put it back.",
        "images/p3/flair": "Series 7 cannot be decoded.",
    }


def test_an_image_that_is_removed_while_it_is_packed_is_packed(root: Path) -> None:
    store = labelled(root)

    class Removed(type(Path())):
        def open(self, *mode: str):
            file = super().open(*mode)
            self.unlink()
            return file

    content = (root / "p1" / "flair.nii.gz").read_bytes()
    known = store.catalogue.studies
    known["p1"] = replace(known["p1"], images={Sequence.FLAIR: Removed(root / "p1" / "flair.nii.gz")})
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        assert archive.read("images/p1/flair.nii.gz") == content
    os.unlink(archive.filename)
