"""Make the index of a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from pydicom.misc import is_dicom

from brainmvp.annotation.held_out import HeldOut
from brainmvp.beside import sequences_of
from brainmvp.cohort.cases import listed
from brainmvp.cohort.index import Image, Index, Session
from brainmvp.cohort.layouts import COULD_BE_PATIENT, Place, place_of
from brainmvp.cohort.served import LABELS, FinalLabels, held_out_sets, was_served
from brainmvp.errors import BrainMVPError
from brainmvp.files import readable
from brainmvp.folders import data_folders
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence, is_label, strip_suffix
from brainmvp.study import OVERRIDE, Study, study_folder, study_id
from brainmvp.tasks import Task

_DERIVATIVES = "derivatives"
_LOOKED_AT = 200  # files, to tell whether a folder without images holds DICOM
_LESION_WORDS = ("tumor", "tumour", "lesion", "stroke", "msk")


@dataclass
class _Visit:
    images: list[tuple[Sequence, str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    # By what a server calls them, the folders of the images.
    studies: dict[str, Path] = field(default_factory=dict)


@dataclass
class _Found:
    """What lies below a folder.

    closed: folders that may not be looked into; unwritable: files whose names are not UTF-8; unknown: how many files of
    each ending are neither a sequence nor a label.
    """

    visits: dict[Place, _Visit] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    unwritable: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


def index_folder(
    root: str | os.PathLike[str], tell: Callable[[str], None] | None = None, task: Task | None = None
) -> tuple[Index, list[str]]:
    """Return the index of every image below a folder, and in sentences what was left out and why.

    Layouts: see `layouts.place_of`. Of a BIDS tree's `derivatives` only lesion masks are taken (ISLES keeps them
    there). A `study.json` in a visit's folder settles what its files are. In a folder that was served for annotation,
    a final label comes before a label map beside the images, nothing else in `labels` counts, and the patients whom
    the annotation holds out are kept for the test. Files are not opened: whether they can be read, `brainmvp prepare`
    tells. tell: called with each folder; task: see `FinalLabels`.
    Raises `BrainMVPError` if there is no image.
    """
    root = Path(root)
    if not root.is_dir():
        raise BrainMVPError(f"{root} is not a folder; give the folder that holds the cohort.")
    root = root.resolve()
    found = _collect(root, tell)
    notes = _notes_of(found)
    if was_served(root):
        _take_final_labels(found.visits, FinalLabels(root, task), notes)
    kept = _held_out(found.visits, held_out_sets(root, task))
    if kept:
        notes.append(f"Kept {listed(sorted(kept))} for the test: the annotation holds them out.")
    sessions = []
    for place, visit in found.visits.items():
        if visit.images:
            sessions.append(_session(place, visit, notes))
        elif visit.labels:
            notes.append(f"Left out {visit.labels[0]}: a segmentation without images.")
    if not sessions:
        if found.unwritable:
            raise BrainMVPError(_unwritable_note(found.unwritable))
        if _holds_dicom(root):
            raise BrainMVPError(
                f"{root} holds DICOM, which an index cannot name; convert it into one folder per PATIENT/DATE, for "
                "instance with dcm2niix, and name the files by their sequence, as in patient_t1.nii.gz."
            )
        names = ", ".join(IMAGE_SUFFIXES)
        raise BrainMVPError(
            f"{root} holds no image with a known sequence ({names}), as in patient_t1.nii.gz."
        )
    sessions = [s.model_copy(update={"split": "test"}) if s.patient in kept else s for s in sessions]
    return Index(root, sessions), notes


def _collect(root: Path, tell: Callable[[str], None] | None) -> _Found:
    """Return what lies below a folder, by visit, and what could not be taken."""
    found = _Found()
    paths = _image_paths(root, tell, found.closed)
    sequences = _by_folder(paths)
    for relative in paths:
        if readable(str(relative)) != str(relative):
            found.unwritable.append(readable(str(relative)))
            continue
        if relative.name == OVERRIDE:
            _take_settled(root, relative.parent, found.visits)
            continue
        visit = found.visits.setdefault(place_of(relative, readable(root.name)), _Visit())
        derived = _DERIVATIVES in relative.parts[:-1]
        if is_label(relative.name):
            if not derived or _shows_lesion(relative.name):
                visit.labels.append(str(relative))
        elif not derived:
            if sequence := sequences[relative]:
                visit.images.append((sequence, str(relative)))
                visit.studies.setdefault(
                    study_id(root / relative.parent), study_folder(root / relative.parent)
                )
            else:
                found.unknown[_ending(relative.name)] += 1
    for visit in found.visits.values():  # without the suffix: its dot comes after a hyphen
        visit.images.sort(key=lambda image: strip_suffix(image[1]))
    return found


def _by_folder(paths: list[PurePosixPath]) -> dict[PurePosixPath, Sequence | None]:
    """Return the sequence of each image, as a study of its folder has it."""
    names: dict[PurePosixPath, list[str]] = {}
    for path in paths:
        names.setdefault(path.parent, []).append(path.name)
    return {folder / n: s for folder, each in names.items() for n, s in sequences_of(each).items()}


def _notes_of(found: _Found) -> list[str]:
    """Say what was left out, and which places were guessed or look like several patients."""
    visits = found.visits
    notes = [closed_note(folder) for folder in found.closed]
    if found.unwritable:
        notes.append(_unwritable_note(found.unwritable))
    if found.unknown:
        kinds = ", ".join(f"{count} named …{ending}" for ending, count in found.unknown.most_common())
        notes.append(
            f"Left out {kinds}: neither a known sequence (patient_t1.nii.gz) nor a segmentation (patient_seg.nii.gz); "
            f"rename them, or say in a folder's {OVERRIDE} what is what."
        )
    guessed = sorted({place.dataset for place in visits if place.guessed})
    if len(guessed) > 1:
        notes.append(
            f"{' and '.join(guessed[:2])}{' and others' if len(guessed) > 2 else ''} were taken for data sets; if they "
            "are patients, call their visits by a date (2024-01-31) or by a number (visit-1)."
        )
    numbered = Counter((p.dataset, p.subject) for p in visits if COULD_BE_PATIENT.match(p.session))
    notes += [
        f"{subject} was taken for one patient with {count} visits; if these are patients, call them P01 and so on."
        for (_, subject), count in numbered.items()
        if count > 1
    ]
    scattered = [place for place, visit in visits.items() if _folders_of_one_sequence(visit)]
    if scattered:
        first, second, *_ = _folders_of_one_sequence(visits[scattered[0]])
        ids = listed([f"{place.dataset}/{place.subject}/{place.session}" for place in scattered])
        notes.append(
            f"{ids}: one sequence in several folders ({first}, {second}); if these are of several patients, give each "
            "a folder PATIENT/DATE/FILE or PATIENT/FILE."
        )
    doubled = {place: two for place, visit in visits.items() if (two := _two_of_one_sequence(visit))}
    if doubled:
        first, second = next(iter(doubled.values()))
        ids = listed([f"{place.dataset}/{place.subject}/{place.session}" for place in doubled])
        notes.append(
            f"{ids}: several files of one sequence ({first}, {second}); pretraining takes all, everything else the "
            f"first; call a segmentation patient_seg.nii.gz, or say in the folder's {OVERRIDE} which file is used."
        )
    return notes


def _unwritable_note(files: list[str]) -> str:
    return (
        f"Left out what has a name in an old encoding ({len(files)}, such as {files[0]}): an index is written in "
        "UTF-8; rename the files, or their folders."
    )


def _holds_dicom(root: Path) -> bool:
    files = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return any(is_dicom(path) for path in islice(files, _LOOKED_AT))


def closed_note(folder: str) -> str:
    """Return the sentence on a folder that may not be looked into."""
    return f"Left out {folder}: it cannot be looked into."


def _image_paths(root: Path, tell: Callable[[str], None] | None, closed: list[str]) -> list[PurePosixPath]:
    """Return the images and the `study.json` below a folder; those that may not be looked into go to `closed`."""
    found = []
    for relative, folders, names in data_folders(root, closed):
        if tell:
            tell(str(relative))
        if not relative.parts and LABELS in folders and was_served(root):
            folders.remove(LABELS)
        if OVERRIDE in names:  # the folder is a study, and what it does not name is not used
            folders.clear()
            found.append(relative / OVERRIDE)
        else:
            found += [relative / name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    return found


def _take_settled(root: Path, folder: PurePosixPath, visits: dict[Place, _Visit]) -> None:
    """Add the study of a folder whose `study.json` says what is what; whose it is tell folder and file names."""
    study = Study.from_folder(root / folder)
    files = {
        s: folder / i.relative_to(study.folder).as_posix()
        for s, i in study.images.items()
        if isinstance(i, Path)
    }
    if not files:  # DICOM, by the numbers of its series
        return
    first = next(iter(files.values()))
    visit = visits.setdefault(place_of(folder / first.name, readable(root.name)), _Visit())
    visit.images += [(sequence, str(file)) for sequence, file in files.items()]
    visit.studies.setdefault(study.id, study.folder)
    if study.label:
        visit.labels.append(str(folder / study.label.relative_to(study.folder).as_posix()))


def _folders_of_one_sequence(visit: _Visit) -> list[str]:
    """Return the folders, sorted, that hold the first sequence of a visit that lies in several; none if none does."""
    folders: dict[Sequence, set[str]] = {}
    for sequence, file in visit.images:
        folders.setdefault(sequence, set()).add(str(PurePosixPath(file).parent))
    return next((sorted(found) for found in folders.values() if len(found) > 1), [])


def _two_of_one_sequence(visit: _Visit) -> tuple[str, str] | None:
    """Return the first two images of a visit that are of one sequence and in one folder, if there are any."""
    files: dict[tuple[Sequence, PurePosixPath], list[str]] = {}
    for sequence, file in visit.images:
        files.setdefault((sequence, PurePosixPath(file).parent), []).append(file)
    return next(((found[0], found[1]) for found in files.values() if len(found) > 1), None)


def _take_final_labels(visits: dict[Place, _Visit], labels: FinalLabels, notes: list[str]) -> None:
    """Give each visit its final label in place of what lies beside its images.

    Images that came after it and show more are left out: a core that only T1CE shows would be taught as absent.
    """
    replaced, late = [], []
    for visit in visits.values():
        if taken := labels.take(visit.studies, dict(visit.images)):
            replaced += visit.labels
            label, came_late = taken
            visit.labels = [label]
            late += [file for sequence, file in visit.images if sequence in came_late]
            visit.images = [(sequence, file) for sequence, file in visit.images if sequence not in came_late]
    notes += labels.notes
    if replaced:
        notes.append(f"Took final labels in place of {listed(replaced)} beside the images.")
    if late:
        notes.append(
            f"Left out {listed(late)}, which came after its label and shows more; look again and submit the label anew."
        )
    if unused := labels.unused():
        notes.append(f"Left out the final labels of {listed(unused)}: no study here is the one of this name.")


def _held_out(visits: dict[Place, _Visit], sets: list[HeldOut]) -> set[str]:
    """Return the patients of whom a visit is held out."""
    return {
        f"{place.dataset}/{place.subject}"
        for place, visit in visits.items()
        if visit.images and any(one.holds(study) for one in sets for study in visit.studies)
    }


def _session(place: Place, visit: _Visit, notes: list[str]) -> Session:
    order = {sequence: number for number, sequence in enumerate(Sequence)}
    images = [
        Image(sequence=s, file=file) for s, file in sorted(visit.images, key=lambda pair: order[pair[0]])
    ]
    labels = visit.labels
    if len(labels) > 1:  # UCSF-PDGM has one of the brain beside that of the tumour
        labels = [file for file in labels if _shows_lesion(PurePosixPath(file).name)]
    if len(labels) != 1 and visit.labels:
        notes.append(
            f"{place.dataset}/{place.subject}/{place.session}: took no segmentation, since several could be it: "
            f"{', '.join(visit.labels)}."
        )
    return Session(
        dataset=place.dataset, subject=place.subject, session=place.session, images=tuple(images),
        segmentation=labels[0] if len(labels) == 1 else None,
    )  # fmt: skip


def _shows_lesion(name: str) -> bool:
    return "brain" not in name.lower() and any(word in name.lower() for word in _LESION_WORDS)


def _ending(name: str) -> str:
    return "_" + strip_suffix(name).replace("-", "_").rsplit("_", 1)[-1]
