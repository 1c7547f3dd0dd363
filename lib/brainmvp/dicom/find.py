"""The DICOM studies below a folder, whatever its layout: a folder per series, one flat folder, a CD."""

import os
from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from brainmvp.dicom.choose import SeriesEntry, choose
from brainmvp.dicom.headers import Slice, is_lost, read_slices
from brainmvp.dicom.series import DicomImage, images_of
from brainmvp.sequences import Sequence

# Names that DICOM files never have: they are not opened.
_OTHER_SUFFIXES = (".json", ".txt", ".png", ".jpg", ".html", ".pdf", ".xml", ".zip", ".nii", ".gz", ".nrrd")


@dataclass(frozen=True)
class DicomStudy:
    """One DICOM study: its folder, its volumes, the image of each sequence, and the table of its series."""

    uid: str
    folder: Path
    volumes: tuple[DicomImage, ...]
    images: dict[Sequence, DicomImage]
    series: tuple[SeriesEntry, ...]


@dataclass(frozen=True, eq=False)
class _Files:
    """The DICOM files of a folder: their slices by study, and how many gave none that should have.

    Equal to itself only, which is quickly asked.
    """

    folder: Path
    slices: dict[str, list[Slice]]
    lost: int


def dicom_studies(folders: Iterable[Path]) -> list[DicomStudy]:
    """Return the studies of the DICOM files that lie in these folders (not below them)."""
    by_study: dict[str, list[_Files]] = defaultdict(list)
    for folder in folders:
        files = _files_in(folder, _signature(folder))
        for uid in files.slices:
            by_study[uid].append(files)
    return [_study(uid, tuple(where)) for uid, where in by_study.items()]


# A server looks at its studies again whenever one of them changes; reading a header takes a millisecond, and to put
# hundreds of slices together takes tens of them.
@lru_cache(maxsize=1 << 13)
def _study(uid: str, where: tuple[_Files, ...]) -> DicomStudy:
    slices = [one for files in where for one in files.slices[uid]]
    folder = Path(os.path.commonpath([one.path.parent for one in slices]))
    lost = Counter({files.folder: files.lost for files in where})
    volumes = [_with_losses(image, lost) for image in images_of(slices)]
    images, series = choose(volumes)
    return DicomStudy(uid, folder, tuple(volumes), images, tuple(series))


def _with_losses(image: DicomImage, lost: Counter[Path]) -> DicomImage:
    """Return the image with a note if files beside its own could not be read: they may have been slices of it."""
    count = sum(lost[folder] for folder in {plane.path.parent for plane in image.planes})
    if not count:
        return image
    note = f"{count} file{'s' if count > 1 else ''} beside its slices cannot be read: slices may be missing"
    return replace(image, notes=(*image.notes, note))


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what tells whether a folder's files changed: their names, times and sizes."""
    with os.scandir(folder) as entries:
        files = [
            (entry.name, entry.stat().st_mtime_ns, entry.stat().st_size)
            for entry in entries
            if not entry.name.startswith(".")
            and not entry.name.lower().endswith(_OTHER_SUFFIXES)
            and entry.is_file()
        ]
    return tuple(sorted(files))


@lru_cache(maxsize=1 << 13)
def _files_in(folder: Path, signature: tuple[tuple[str, int, int], ...]) -> _Files:
    """Return what lies in a folder."""
    found = {folder / name: read_slices(folder / name) for name, _, _ in signature}
    lost = sum(is_lost(path) for path, slices in found.items() if not slices)
    slices = [one for some in found.values() for one in some]
    common: dict[str, dict[str, Any]] = {}  # by series: most facts are the same in all of its slices
    for one in slices:
        shared = common.setdefault(one.facts["SeriesInstanceUID"], dict(one.facts))
        for keyword in [k for k, value in shared.items() if one.facts.get(k) != value]:
            del shared[keyword]
    by_study: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        compact = _compact(one, common[one.facts["SeriesInstanceUID"]])
        by_study[one.facts.get("StudyInstanceUID", "")].append(compact)
    return _Files(folder, dict(by_study), lost)


def _compact(one: Slice, shared: dict[str, Any]) -> Slice:
    own = {keyword: value for keyword, value in one.facts.items() if keyword not in shared}
    return Slice(one.path, one.frame, ChainMap(own, shared))
