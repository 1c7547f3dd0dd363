"""Files that are there complete or not at all, whatever stops the program while it writes them."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from brainmvp.sequences import IMAGE_SUFFIXES

# Where a folder of studies keeps what is noted about them: hidden, so that it does not look like a study.
HIDDEN = ".brainmvp"
# In it, what a server knows of the studies of an archive: they do not lie below the folder.
ARCHIVE_NOTES = "archive.json"
# How long a program that reads or scans a file may keep it from being replaced, seconds: that is so on Windows only.
_HELD = 1.0 if os.name == "nt" else 0.0
TEMPORARY = ".writing-"  # how the names of files begin that are being written
_NOBODY_WRITES_SO_LONG = 24 * 3600.0  # seconds


def _usual_permissions() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


# Asked for once: to ask is to change it for a moment, for every thread of a server.
_PERMISSIONS = _usual_permissions()


def atomically(
    path: Path, write: Callable[[Path], object], *, durable: bool = False, private: bool = False
) -> None:
    """Call `write` with a temporary path of the same ending beside `path`, then rename it to `path`.

    durable: have the content on the disk first, for who sent it forgets it then; private: only the file's owner may
    ever read it.

    Raises `OSError` that names the folder where it cannot be written or has no room: the temporary name says nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = next((s for s in (".seg.nrrd", *IMAGE_SUFFIXES) if path.name.lower().endswith(s)), path.suffix)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=suffix.lower(), dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        write(temporary)
        if not private:
            with suppress(OSError):  # some network shares refuse
                temporary.chmod(_PERMISSIONS)  # mkstemp makes files that only their owner may read
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        if not error.errno or (error.filename and TEMPORARY not in str(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, str(path.parent)) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    end = time.monotonic() + _HELD
    while True:
        try:
            temporary.replace(path)
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.02)
        else:
            return


def sweep(folder: Path) -> None:
    """Remove what programs were writing anywhere below a folder when they were killed, a day ago or longer."""
    before = time.time() - _NOBODY_WRITES_SO_LONG
    for path in list(folder.rglob(f"{TEMPORARY}*")):
        with suppress(OSError):
            if path.lstat().st_mtime < before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON-ready value for people to read, too."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False))


def readable(text: str) -> str:
    """Return a path as text that can be sent, drawn and stored: what an old encoding left in it is replaced."""
    return text.encode("utf-8", sys.getfilesystemencodeerrors()).decode("utf-8", "replace")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits; a file is read again once it has changed."""
    status = path.stat()
    return _digest(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=100_000)
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
