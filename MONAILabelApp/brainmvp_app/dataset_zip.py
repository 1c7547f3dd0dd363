"""All studies and labels as one ZIP file."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile, ZipInfo

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp_app.incoming import image_suffix
from brainmvp_app.pacs import ArchiveAwayError


def pack_labels(packed: ZipFile, labels: dict[tuple[str, str], Path], metadata: str) -> None:
    """Put label files, by tag and study id, into a ZIP file as `labels/TAG/FILE`, with `metadata.json`."""
    for (tag, _), path in labels.items():
        packed.write(path, f"labels/{tag}/{path.name}")
    packed.writestr("metadata.json", metadata)


def pack_images(packed: ZipFile, studies: Iterable[Study]) -> None:
    """Put the images of studies into a ZIP file as they are: nearly all are compressed.

    Each is named by its sequence, `images/ID/t1ce.nii.gz`: what its own file is called may say nothing. One that cannot
    be had is left out, and `problems.json` says why; raises `ArchiveAwayError` if the archive is away.
    """
    problems = {}
    for study in studies:
        for sequence in study.images:
            place = f"images/{study.id}/{sequence.lower()}"
            try:
                entry, file = _opened(study, sequence, place)
            except ArchiveAwayError:
                raise
            except BrainMVPError as error:
                problems[place] = str(error)
                continue
            with file, packed.open(entry, "w") as target:
                shutil.copyfileobj(file, target, 1 << 20)
    if problems:
        packed.writestr("problems.json", json.dumps(problems, indent=1, ensure_ascii=False))


def _opened(study: Study, sequence: Sequence, place: str) -> tuple[ZipInfo, BinaryIO]:
    """Return the entry for an image, and its file, made if it has to be, open: whoever removes it does so too late."""
    path = study.images[sequence]
    try:
        entry = ZipInfo.from_file(path, place + image_suffix(path.name), strict_timestamps=False)
        return entry, path.open("rb")
    except OSError as error:
        raise BrainMVPError(
            f"{path.name} cannot be read ({error.strerror}); fetch it, or put it back."
        ) from error
