"""Files are there complete or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from brainmvp import files
from brainmvp.files import atomically, sweep, write_json


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomically(path, fail)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_names_the_folder(tmp_path):
    def fill(temporary):
        with open("/dev/full", "wb", buffering=0) as disk:
            disk.write(b"x")

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"):
        atomically(tmp_path / "a.txt", fill)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="limits of POSIX")
def test_an_image_that_finds_no_room_is_no_crash(tmp_path):
    script = (
        "import numpy, resource, signal, sys; from brainmvp.volume import *; from brainmvp.segnrrd import *\n"
        "from brainmvp.tasks import get_task; from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); limits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))\n"
        "data = numpy.random.default_rng(0).integers(0, 255, (40, 40, 40), numpy.uint8)\n"
        "for name in ('a.nii.gz', 'a.seg.nrrd', 'a.nrrd', 'a.mha'):\n"
        "    image, path = Volume(data, numpy.eye(4)), Path(sys.argv[1], name)\n"
        "    try: write_seg_nrrd(image, get_task('stroke'), path) if 'seg' in name else write_volume(image, path)\n"
        "    except OSError as error: print(name, error.filename)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limits)"  # what coverage writes at the end is larger
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=100
    )
    names = ("a.nii.gz", "a.seg.nrrd", "a.nrrd", "a.mha")
    assert done.stdout.splitlines() == [f"{name} {tmp_path}" for name in names], done.stderr
    assert not list(tmp_path.iterdir())


def test_what_has_to_outlive_a_power_cut_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.nii.gz", []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_ino, path.exists())))
    atomically(path, lambda temporary: temporary.write_text("a"), durable=True)
    assert synced == [(path.stat().st_ino, False)]
    assert path.read_text() == "a"


def test_a_disk_that_knows_no_permissions_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    write_json(tmp_path / "a.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_another_program_reads_is_replaced_once_it_is_free(tmp_path, monkeypatch):
    held, replace = [1, 2], Path.replace

    def replace_when_free(source, target):
        if held and held.pop():
            raise PermissionError(errno.EACCES, "Access is denied", source)
        return replace(source, target)

    monkeypatch.setattr(files, "_HELD", 1.0)  # as on Windows
    monkeypatch.setattr(Path, "replace", replace_when_free)
    write_json(tmp_path / "a.json", {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_program_left_is_swept_up_after_a_day(tmp_path):
    old, new, folder, other = (
        tmp_path / "deep" / name for name in (".writing-a", ".writing-b", ".writing-c", "d")
    )
    (folder / "in").mkdir(parents=True)
    for path in (old, new, other, folder / "in" / "e"):
        path.touch()
    for path in (old, other, folder):
        os.utime(path, (0, 0))
    sweep(tmp_path)
    assert sorted((tmp_path / "deep").iterdir()) == [new, other]
    sweep(tmp_path / "absent")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    write_json(tmp_path / "ours.json", {"a": "ä"})
    (tmp_path / "theirs.json").touch()
    ours, theirs = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours.json", "theirs.json"))
    assert ours == theirs
    assert "ä" in (tmp_path / "ours.json").read_text("utf-8")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_private_file_is_its_owners_alone(tmp_path):
    atomically(tmp_path / "secret", lambda temporary: temporary.write_bytes(b"x"), private=True)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
