"""Files are there complete or not at all."""

import os
import stat

import pytest

from brainmvp.files import atomically, write_json


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


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    write_json(tmp_path / "ours.json", {"a": "ä"})
    (tmp_path / "theirs.json").touch()
    ours, theirs = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours.json", "theirs.json"))
    assert ours == theirs
    assert "ä" in (tmp_path / "ours.json").read_text("utf-8")
