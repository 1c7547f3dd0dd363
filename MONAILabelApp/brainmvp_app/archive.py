"""All studies and labels as one ZIP file."""

import os
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from brainmvp.study import Study


def write_archive(studies: Iterable[Study], labels: dict[tuple[str, str], Path], metadata: str) -> Path:
    """Write `images/ID/FILE`, `labels/TAG/FILE` and `metadata.json` into a temporary ZIP file and return its path.

    labels: the label files by (tag, study id). The caller removes the file. Images are stored as they are: nearly
    all are compressed already.
    """
    handle, name = tempfile.mkstemp(prefix="brainmvp-archive-", suffix=".zip")
    os.close(handle)
    try:
        with zipfile.ZipFile(name, "w") as archive:
            for study in studies:
                for path in study.images.values():
                    archive.write(path, f"images/{study.id}/{path.name}")
            for (tag, _), path in labels.items():
                archive.write(path, f"labels/{tag}/{path.name}")
            archive.writestr("metadata.json", metadata)
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)
