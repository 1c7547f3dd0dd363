"""A study: the sequences of one visit of one patient, found in a folder."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence, is_label, sequence_of
from brainmvp.tasks import Task

# Folders of a BIDS session that hold images we read (BIDS 1.9).
_BIDS_FOLDERS = ("anat", "dwi", "perf")
# Folders beside studies that hold results, not scans: MONAI Label's store and BIDS derivatives.
_NOT_STUDIES = ("labels", "derivatives", "sourcedata")
# A file in a study's folder that says which image is which.
OVERRIDE = "study.json"


@dataclass(frozen=True)
class Study:
    """One patient visit.

    id: the folder's name (`sub-01_ses-02` for a BIDS session); images: one file per sequence, in the order of
    `Sequence`; label: the segmentation that lies beside the images, if there is exactly one.
    """

    id: str
    folder: Path
    images: dict[Sequence, Path]
    label: Path | None = None

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "Study":
        """Read which file is which sequence, from a `study.json` in the folder or else from the file names.

        `study.json` holds `{"sequences": {"T1": "a.nii.gz", …}, "label": "seg.nii.gz"}`; files that it does not
        name are not used. Raises `BrainMVPError` if there is no image, or naming every file whose sequence cannot
        be told or is claimed twice.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise BrainMVPError(
                f"{folder} is not a folder; give the folder that holds the study's sequences."
            )
        folder = folder.resolve()
        if (folder / OVERRIDE).is_file():
            images, label = _from_override(folder)
        else:
            images, label = _from_names(folder)
        return cls(_study_id(folder), folder, {s: images[s] for s in Sequence if s in images}, label)

    def reference(self, task: Task, wish: Sequence | None = None) -> Sequence:
        """Return the sequence whose grid the result has: the wish, or the task's first choice among those present."""
        if wish is not None and wish not in self.images:
            found = ", ".join(self.images)
            raise BrainMVPError(f"{self.id} has no {wish} to serve as the reference; it has {found}.")
        return wish or next(sequence for sequence in task.reference if sequence in self.images)


def find_studies(
    root: str | os.PathLike[str], on_error: Callable[[Path, BrainMVPError], None] | None = None
) -> list[Study]:
    """Return every study at or below `root`, sorted by id.

    A folder that holds images is a study, and a BIDS session or subject with `anat` or `dwi` is one. A bad study
    raises `BrainMVPError`, unless `on_error(folder, error)` is given: then the search goes on. So does a second
    study of the same id.
    """
    root = Path(root)
    if not root.is_dir():
        raise BrainMVPError(f"{root} is not a folder; give the folder that holds the studies.")
    found: dict[str, Study] = {}
    for folder in _study_folders(root.resolve()):
        try:
            study = Study.from_folder(folder)
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


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a study folder, sorted; those of a BIDS session lie one folder deeper."""
    bids = [folder / name for name in _BIDS_FOLDERS if (folder / name).is_dir()]
    entries = [entry for place in (folder, *bids) for entry in place.iterdir()]
    return sorted(
        e for e in entries if e.name.lower().endswith(IMAGE_SUFFIXES) and not e.name.startswith(".")
    )


def _study_folders(folder: Path) -> list[Path]:
    if (folder / OVERRIDE).is_file() or image_files(folder):
        return [folder]
    below = [
        d
        for d in folder.iterdir()
        if d.is_dir() and not d.name.startswith(".") and d.name not in _NOT_STUDIES
    ]
    return [study for directory in sorted(below) for study in _study_folders(directory)]


def _study_id(folder: Path) -> str:
    is_session = folder.name.startswith("ses-") and folder.parent.name.startswith("sub-")
    return f"{folder.parent.name}_{folder.name}" if is_session else folder.name


def _from_names(folder: Path) -> tuple[dict[Sequence, Path], Path | None]:
    images: dict[Sequence, Path] = {}
    labels, unknown, doubled = [], [], []
    for path in image_files(folder):
        if is_label(path.name):
            labels.append(path)
            continue
        sequence = sequence_of(path.name)
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
        raise BrainMVPError(f"{folder} holds no image; expected files such as patient_t1.nii.gz.")
    return images, labels[0] if len(labels) == 1 else None


def _from_override(folder: Path) -> tuple[dict[Sequence, Path], Path | None]:
    path = folder / OVERRIDE
    try:
        content = json.loads(path.read_text("utf-8"))
        images = {Sequence(name): folder / file for name, file in content["sequences"].items()}
        label = folder / content["label"] if content.get("label") else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        example = '{"sequences": {"T1": "a.nii.gz"}}'
        names = ", ".join(Sequence)
        raise BrainMVPError(
            f"{path} does not read as {example} with the sequences {names} ({error})."
        ) from error
    for file in (*images.values(), *([label] if label else [])):
        if not file.resolve().is_relative_to(folder):
            raise BrainMVPError(
                f"{path} names {file}, which lies outside the study; copy it into the folder."
            )
        if not file.is_file():
            raise BrainMVPError(f"{path} names {file.name}, which is not in the folder; correct the name.")
    if not images:
        raise BrainMVPError(f"{path} names no sequence; add at least one.")
    return images, label
