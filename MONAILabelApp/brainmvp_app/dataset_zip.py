"""All studies and labels as one ZIP file."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from brainmvp.study import Study
from brainmvp_app.temporary import written


def write_dataset(studies: Iterable[Study], labels: dict[tuple[str, str], Path], metadata: str) -> Path:
    """Write `images/ID/FILE`, `labels/TAG/FILE` and `metadata.json` into a temporary ZIP file and return its path.

    labels: the label files by (tag, study id). The caller removes the file. Images are stored as they are: nearly
    all are compressed already.
    """

    def write(file: Path) -> None:
        # A file from before 1980, or without a date, gets the first that ZIP knows.
        with zipfile.ZipFile(file, "w", strict_timestamps=False) as packed:
            for study in studies:
                for path in study.images.values():
                    packed.write(path, f"images/{study.id}/{path.name}")
            for (tag, _), path in labels.items():
                packed.write(path, f"labels/{tag}/{path.name}")
            packed.writestr("metadata.json", metadata)

    return written("brainmvp-dataset-", ".zip", write)
