"""A study: the sequences of one visit of one patient, found in a folder."""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from brainmvp.beside import sequences_of
from brainmvp.dicom.choose import SeriesEntry, override
from brainmvp.dicom.find import DicomStudy, dicom_studies
from brainmvp.dicom.series import DicomImage
from brainmvp.dicom.taken import Taken, taken
from brainmvp.errors import BrainMVPError
from brainmvp.files import readable
from brainmvp.folders import folders_to_enter
from brainmvp.given_ids import GivenIds, as_found, uid_of
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence, is_label
from brainmvp.tasks import Task

# Folders of a BIDS session that hold images we read (BIDS 1.9).
_BIDS_FOLDERS = ("anat", "dwi", "perf")
# Folders beside studies that hold results, not scans: MONAI Label's store and BIDS derivatives.
NOT_STUDIES = ("labels", "derivatives", "sourcedata")
# Images that are not read here: MetaImage and Analyze of two files each, MINC, MGH unpacked, Philips' own.
_OTHER_FORMATS = (".mhd", ".img", ".mnc", ".mgh", ".par")
# A file in a study's folder that says which image is which.
OVERRIDE = "study.json"


class NoSequenceError(BrainMVPError):
    """A DICOM study none of whose series can be used; `series` says why, for each."""

    def __init__(self, folder: Path, series: tuple[SeriesEntry, ...]) -> None:
        shown = "; ".join(f"{entry.image.name}: {entry.reason}" for entry in series[:8])
        super().__init__(
            f"{folder} holds no MRI sequence that can be used ({shown}); "
            f"say which series is which in {folder / OVERRIDE} if that is wrong."
        )
        self.series = series


@dataclass(frozen=True)
class Study:
    """One patient visit.

    id: the folder's name (`sub-01_ses-02` for a BIDS session); images: one file or DICOM series per sequence, in
    the order of `Sequence`; label: the segmentation that lies beside the images, if there is exactly one; series:
    of a DICOM study, what every series is and why.
    """

    id: str
    folder: Path
    images: Mapping[Sequence, Path | DicomImage]
    label: Path | None = None
    series: tuple[SeriesEntry, ...] = ()

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Study":
        """Read which image is which sequence: from `study.json`, else from file names, else from DICOM headers.

        `study.json` holds `{"sequences": {"T1": "a.nii.gz", …}, "label": "seg.nii.gz"}`, with a series number in
        place of a file name for DICOM; what it does not name is not used. Raises `BrainMVPError` if there is no
        image, naming every file whose sequence cannot be told or is claimed twice, or if there are several DICOM
        studies.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise BrainMVPError(
                f"{folder} is not a folder; give the folder that holds the study's sequences."
            )
        folder = folder.resolve()
        if (folder / OVERRIDE).is_file():
            return _from_override(folder)
        if _scans(folder) or not (found := dicom_studies(_folders_below(folder))):
            images, label = _from_names(folder)
            return cls(study_id(folder), folder, _in_order(images), label)
        if len(found) > 1:
            raise BrainMVPError(f"{folder} holds {len(found)} DICOM studies; give the folder of one.")
        return _from_dicom(found[0], study_id(folder), folder)

    @cached_property
    def taken(self) -> Taken:
        """When and of whom it was taken, as DICOM headers tell; of other files nothing is known."""
        image = next(iter(self.images.values()), None)
        return taken(image) if isinstance(image, DicomImage) else Taken()

    def only(self, sequences: tuple[Sequence, ...]) -> "Study":
        """Return the study with these of its sequences."""
        return replace(self, images={s: self.images[s] for s in self.images if s in sequences})

    @property
    def unusable(self) -> dict[Sequence, str]:
        """Why a sequence that was scanned cannot be used: what is wrong with each of its DICOM series."""
        used = {entry.verdict.sequence for entry in self.series if entry.use == "used"}
        found: dict[Sequence, str] = {}
        for entry in self.series:
            sequence = entry.verdict.sequence
            if entry.use == "left out" and sequence is not None and sequence not in used:
                before = f"{found[sequence]}; " if sequence in found else ""
                found[sequence] = f"{before}{entry.image.name}: {entry.reason}"
        return found

    @property
    def origin(self) -> dict[str, str | None]:
        """Where the scans lie, and of when they are, for a report: studies of two patients may have the same name."""
        day = self.taken.day
        return {"folder": readable(str(self.folder)), "scanned": day.isoformat() if day else None}

    def lacks(self, wanted: Collection[Sequence]) -> str:
        """Return the sentences that a study cannot show some sequences: it has none, or none that can be used."""
        absent = [sequence for sequence in wanted if sequence not in self.unusable]
        said = [f"{self.id} has no {', '.join(absent)}; it has {', '.join(self.images)}."] if absent else []
        said += [f"{self.id}: {s} cannot be used, {self.unusable[s]}." for s in wanted if s in self.unusable]
        return " ".join(said)

    def notes(self, sequences: Iterable[Sequence]) -> list[str]:
        """Return what to know about the DICOM series of some sequences, a sentence each without its full stop."""
        used = {entry.verdict.sequence: entry for entry in self.series if entry.use == "used"}
        found = []
        for sequence in filter(used.get, sequences):
            entry = used[sequence]
            found += [f"{sequence}: its header contradicts itself, {c}" for c in entry.verdict.contradictions]
            found += [f"{sequence}: {note}" for note in entry.image.notes]
        return found

    def reference(self, task: Task, wish: Sequence | None = None) -> Sequence:
        """Return the sequence whose grid the result has: the wish, or the task's first choice among those present."""
        if wish in self.unusable:
            raise BrainMVPError(
                f"{self.id}: {wish} cannot serve as the reference, {self.unusable[wish]}; choose another."
            )
        if wish is not None and wish not in self.images:
            found = ", ".join(self.images)
            raise BrainMVPError(f"{self.id} has no {wish} to serve as the reference; it has {found}.")
        return wish or next(sequence for sequence in task.reference if sequence in self.images)


def find_studies(
    root: str | os.PathLike[str], on_error: Callable[[Path, BrainMVPError], None] | None = None
) -> list[Study]:
    """Return every study at or below `root`, sorted by id.

    A folder that holds images is a study, and a BIDS session or subject with `anat` or `dwi` is one; so is every
    DICOM study, in whatever folders its files lie: its own is the innermost one that holds them all. A study that was
    labelled in a server of `root` keeps its id, whatever others come, and no other gets it. A bad study raises
    `BrainMVPError`, unless `on_error(folder, error)` is given: then the search goes on. So does a second study of the
    same id.
    """
    root = Path(root)
    if not root.is_dir():
        raise BrainMVPError(f"{root} is not a folder; give the folder that holds the studies.")
    root, found = root.resolve(), dict[str, Study]()
    given = GivenIds(root)
    for folder, read in sorted(_studies_to_read(root, given), key=lambda each: not given.knows(each[0])):
        try:
            study = read()
            if study.id in found:
                raise BrainMVPError(
                    f"{folder} and {found[study.id].folder} have the same name; rename one of them."
                )
            found[study.id] = study
        except BrainMVPError as error:
            if on_error is None:
                raise
            on_error(folder, error)
    return [found[key] for key in sorted(found)]


def files_of(image: Path | DicomImage) -> list[Path]:
    """Return the files that an image is made of: one, or the slices of a DICOM series."""
    return (
        list(dict.fromkeys(plane.path for plane in image.planes))
        if isinstance(image, DicomImage)
        else [image]
    )


def images_state(study: Study) -> str:
    """Return a text that changes when a study's images do; they are not read, nor fetched from an archive."""
    # A server makes files of DICOM series, each as soon as it is asked for: the series themselves tell as much.
    return " ".join(f"{sequence}:{image_state(image)}" for sequence, image in as_found(study).items())


def image_state(image: Path | DicomImage) -> str:
    """Return a text that changes when an image does; `OSError` if its file is gone."""
    if isinstance(image, DicomImage):
        return image.mark
    try:
        status = image.stat()
    except OSError:  # a link to what is not there, as DataLad leaves of a file that it has not fetched
        status = image.lstat()
    return f"{image.name}:{status.st_size}:{status.st_mtime_ns}"


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a study folder, sorted; those of a BIDS session lie one folder deeper."""
    return [entry for entry in _named(folder, IMAGE_SUFFIXES) if not entry.is_dir()]


def passed_over(folder: Path) -> list[str]:
    """Return what in a study folder is called as an image but not read, each with the remedy, without a full stop."""
    other = [entry.name for entry in _named(folder, _OTHER_FORMATS)]
    folders = [entry.name for entry in _named(folder, IMAGE_SUFFIXES) if entry.is_dir()]
    said = [f"{', '.join(other)}; convert to .nii.gz"] if other else []
    return said + (
        [f"{', '.join(folders)}, no file but a folder; take the image out of it"] if folders else []
    )


def _named(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    bids = [folder / name for name in _BIDS_FOLDERS if (folder / name).is_dir()]
    entries = [entry for place in (folder, *bids) for entry in place.iterdir()]
    return sorted(e for e in entries if e.name.lower().endswith(endings) and not e.name.startswith("."))


def _studies_to_read(root: Path, given: GivenIds) -> Iterator[tuple[Path, Callable[[], Study]]]:
    """Yield the folder of each study and what reads it; DICOM is looked for where no images lie."""
    others = []
    for folder in _folders_below(root, stop=lambda each: _is_closed(each) or holds_images(each)):
        if _is_closed(folder):
            yield folder, partial(_refuse_closed, folder)
        elif holds_images(folder):
            yield folder, partial(_from_images, folder, given)
        else:
            others.append(folder)
    dicom = dicom_studies(others)
    names = Counter(readable(study.folder.name) for study in dicom)
    for study in dicom:
        # Several studies in one flat folder, or on CDs that call every study ST000000.
        name = readable(study.folder.name)
        name = given.id_of(study.uid, name, study.folder, alone=names[name] == 1)
        yield study.folder, partial(_from_dicom, study, name, study.folder)


def _from_images(folder: Path, given: GivenIds) -> Study:
    study = Study.from_folder(folder)
    if study.series:  # by a `study.json` that names series
        return replace(study, id=given.id_of(uid_of(study), study.id, folder))
    given.check(study)
    return study


def _folders_below(folder: Path, stop: Callable[[Path], bool] = lambda folder: False) -> Iterator[Path]:
    """Yield a folder and those below it that may hold scans, but nothing below one at which to stop."""
    yield folder
    if stop(folder):
        return
    below = (entry.name for entry in folder.iterdir() if entry.is_dir())
    for name in folders_to_enter(folder, below, skip=NOT_STUDIES):
        yield from _folders_below(folder / name, stop)


def _is_closed(folder: Path) -> bool:
    return not os.access(folder, os.R_OK | os.X_OK)


def _refuse_closed(folder: Path) -> Study:
    raise BrainMVPError(f"{folder} cannot be looked into; ask its owner for the permission.")


def holds_images(folder: Path) -> bool:
    """Tell whether a folder is a study by its image files or `study.json`: the search for studies ends there."""
    return (folder / OVERRIDE).is_file() or bool(_scans(folder))


def _scans(folder: Path) -> list[Path]:
    """Return the image files of a study folder, without the segmentations: those lie beside DICOM files as well."""
    return [path for path in image_files(folder) if not is_label(path.name)]


def study_folder(folder: Path) -> Path:
    """Return the folder of the study whose images a folder holds: of a BIDS session's `anat` the session."""
    is_bids = folder.name in _BIDS_FOLDERS and folder.parent.name.startswith(("sub-", "ses-"))
    return folder.parent if is_bids else folder


def study_id(folder: Path) -> str:
    """Return the id of the study in a folder; a BIDS session's folder of images (`anat`) stands for the session."""
    folder = study_folder(folder)
    is_session = folder.name.startswith("ses-") and folder.parent.name.startswith("sub-")
    return f"{readable(folder.parent.name)}_{readable(folder.name)}" if is_session else readable(folder.name)


def _from_names(folder: Path) -> tuple[dict[Sequence, Path], Path | None]:
    images: dict[Sequence, Path] = {}
    labels, unknown, doubled = [], [], []
    files = image_files(folder)
    sequences = sequences_of(path.name for path in files)
    for path in files:
        if path.name not in sequences:
            labels.append(path)
            continue
        sequence = sequences[path.name]
        if sequence is None:
            unknown.append(path.name)
        elif sequence in images:
            doubled.append(f"{images[sequence].name} and {path.name} both claim {sequence}")
        else:
            images[sequence] = path
    remedy = f"name the files by their sequence or say which is which in {folder / OVERRIDE}"
    if doubled:
        raise BrainMVPError(f"{'; '.join(doubled)}: {remedy}.")
    if unknown:
        raise BrainMVPError(f"The sequence of {', '.join(unknown)} cannot be told: {remedy}.")
    if not images:
        not_read = "".join(f" Not read: {said}." for said in passed_over(folder))
        raise BrainMVPError(f"{folder} holds no image; expected files such as patient_t1.nii.gz.{not_read}")
    return images, labels[0] if len(labels) == 1 else None


def _from_dicom(found: DicomStudy, name: str, folder: Path) -> Study:
    if not found.images:
        raise NoSequenceError(folder, found.series)
    return Study(name, folder, _in_order(found.images), series=found.series)


def _in_order(images: dict[Sequence, Any]) -> dict[Sequence, Any]:
    return {sequence: images[sequence] for sequence in Sequence if sequence in images}


def _from_override(folder: Path) -> Study:
    path = folder / OVERRIDE
    try:
        content = json.loads(path.read_text("utf-8-sig"))  # Windows' editor puts a mark in front
        named = {Sequence(name): value for name, value in content["sequences"].items()}
        files = {sequence: folder / file for sequence, file in named.items() if not isinstance(file, int)}
        label = folder / content["label"] if content.get("label") else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        example = '{"sequences": {"T1": "a.nii.gz"}}'
        names = ", ".join(Sequence)
        raise BrainMVPError(
            f"{path} does not read as {example} with the sequences {names} ({error})."
        ) from error
    for file in (*files.values(), *([label] if label else [])):
        if not file.resolve().is_relative_to(folder):
            raise BrainMVPError(
                f"{path} names {file}, which lies outside the study; copy it into the folder."
            )
        if not file.is_file():
            raise BrainMVPError(f"{path} names {file.name}, which is not in the folder; correct the name.")
    if not named:
        raise BrainMVPError(f"{path} names no sequence; add at least one.")
    numbers = {sequence: number for sequence, number in named.items() if sequence not in files}
    if numbers and files:
        raise BrainMVPError(f"{path} names files and series numbers; use one or the other.")
    images, series = _numbered(folder, numbers) if numbers else ({}, [])
    return Study(study_id(folder), folder, _in_order(files | images), label, tuple(series))


def _numbered(
    folder: Path, numbers: dict[Sequence, int]
) -> tuple[dict[Sequence, DicomImage], list[SeriesEntry]]:
    wanted = set(numbers.values())
    studies = dicom_studies(_folders_below(folder))
    named = [study for study in studies if any(image.number in wanted for image in study.volumes)]
    if len(named) > 1:
        raise BrainMVPError(
            f"{folder / OVERRIDE} names series of {len(named)} DICOM studies, and a study is one visit; give each a "
            "folder of its own."
        )
    return override([image for study in named for image in study.volumes], numbers, OVERRIDE)
