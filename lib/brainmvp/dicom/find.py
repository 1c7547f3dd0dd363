"""The DICOM studies below a folder, whatever its layout: a folder per series, one flat folder, a CD."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brainmvp.dicom.choose import SeriesEntry, choose
from brainmvp.dicom.headers import Slice, read_slices
from brainmvp.dicom.series import DicomImage, images_of
from brainmvp.sequences import Sequence

# A folder of results, and names that DICOM files never have: they are not opened.
_OTHER_SUFFIXES = (".json", ".txt", ".png", ".jpg", ".html", ".pdf", ".xml", ".zip", ".bval", ".bvec", ".py")


@dataclass(frozen=True)
class DicomStudy:
    """One DICOM study: its folder, the image of each sequence, and one entry for every volume of every series."""

    uid: str
    folder: Path
    images: dict[Sequence, DicomImage]
    series: tuple[SeriesEntry, ...]

    @property
    def mark(self) -> str:
        """A short text that tells this study from others in the same folder and names nobody."""
        return hashlib.sha256(self.uid.encode()).hexdigest()[:6]


def dicom_studies(folders: Iterable[Path]) -> list[DicomStudy]:
    """Return the studies of the DICOM files that lie in these folders (not below them)."""
    by_study: dict[str, list[Slice]] = defaultdict(list)
    for folder in folders:
        for path in _files(folder):
            for one in read_slices(path):
                by_study[one.facts.get("StudyInstanceUID", "")].append(one)
    return [_study(uid, slices) for uid, slices in by_study.items()]


def holds_dicom(folder: Path) -> bool:
    """Tell whether a DICOM image lies in this folder (not below it), by its first that can be read."""
    return any(read_slices(path) for path in _files(folder))


def _study(uid: str, slices: list[Slice]) -> DicomStudy:
    folder = Path(os.path.commonpath([one.path.parent for one in slices]))
    images, series = choose(images_of(slices))
    return DicomStudy(uid, folder, images, tuple(series))


def _files(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".")
        and not entry.name.lower().endswith(_OTHER_SUFFIXES)
        and entry.is_file()
    )
