"""The folder layouts of the downstream tasks' data sets that file names alone do not tell.

Each is one pattern of paths and, where the classes stand in a table, how to read it. Sources: the releases' own
files. What BraTS from 2019 on, ISLES and BIDS trees say by themselves, `scan.index_folder` reads.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brainmvp.cohort.cases import listed
from brainmvp.cohort.index import Image, Index, Session
from brainmvp.cohort.scan import closed_note, index_folder
from brainmvp.errors import BrainMVPError
from brainmvp.folders import data_folders
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence
from brainmvp.tasks import Task

_LABEL = "label map"
_AUTOMATED = "automated"
_END = r"\.nii(?:\.gz)?$"


@dataclass(frozen=True)
class ClassTable:
    """How a data set's tables tell classes: key, value: columns of the subject or session, and of the class.

    names: what a class is called here, where not as there; digits: of a subject's number.
    """

    key: str
    value: str
    names: dict[str, str]
    digits: int = 0

    def read(self, root: Path) -> dict[str, str]:
        """Return class by subject or session, from every CSV below the root that has these columns."""
        classes = {}
        for path in sorted(root.rglob("*.csv")):
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
                reader = csv.DictReader(stream)
                if {self.key, self.value} <= set(reader.fieldnames or ()):
                    rows = [row for row in reader if row[self.key] and row[self.value]]
                    classes |= {r[self.key].zfill(self.digits): self._name(r[self.value]) for r in rows}
        return classes

    def _name(self, value: str) -> str:
        return self.names.get(value, value)


@dataclass(frozen=True)
class Release:
    """A data set's layout.

    pattern: of a path below the root, with the groups `subject` (one or more folders), `file` and where there are any
    `session` and `label` (the class); files: what `file` says; example: a path, for the message; classes: where the
    classes are told.
    """

    dataset: str
    pattern: str
    files: dict[str, Sequence | str]
    example: str
    classes: ClassTable | None = None


def index_release(
    root: str | os.PathLike[str], layout: str, task: Task | None = None
) -> tuple[Index, list[str]]:
    """Return the index of a data set in its own layout, and in sentences what was left out.

    layout: as in a task's `data`; task: see `index_folder`. Raises `BrainMVPError` if the layout is unknown or no path
    is of it.
    """
    if layout in ("brats", "isles", "bids"):
        return index_folder(root, task=task)
    if layout not in RELEASES:
        known = ", ".join(("bids", "brats", "isles", *RELEASES))
        raise BrainMVPError(f"There is no layout '{layout}'; the layouts are {known}.")
    release, root = RELEASES[layout], Path(root)
    if not root.is_dir():
        raise BrainMVPError(f"{root} is not a folder; give the folder of {release.dataset}.")
    visits: dict[tuple[str, str], dict[str | Sequence, str]] = {}
    given: dict[tuple[str, str], str] = {}
    others: list[str] = []
    second: list[str] = []
    closed: list[str] = []
    for path in _paths(root, closed):
        match = re.search(release.pattern + _END, path, re.IGNORECASE)
        if match is None:
            others.append(path)
            continue
        groups = match.groupdict()
        place = groups["subject"].replace("/", "-"), groups.get("session") or "1"
        files = visits.setdefault(place, {})
        meaning = release.files[groups["file"].lower()]
        if meaning in files and _AUTOMATED not in files[meaning]:  # a label map drawn by hand is preferred
            second.append(path)
        else:
            files[meaning] = path
        if groups.get("label"):
            given[place] = groups["label"]
    if not visits:
        raise BrainMVPError(
            f"{root} has no file of {release.dataset}, such as {release.example}; give its folder."
        )
    notes = [closed_note(folder) for folder in closed]
    if others:
        notes.append(
            f"Left out {listed(others)}: of {release.dataset}, files such as {release.example} are read."
        )
    if second:
        notes.append(f"Left out {listed(second)}: of a visit, the first image of each sequence is taken.")
    classes = release.classes.read(root) if release.classes else {}
    sessions, unknown = [], []
    for (subject, session), files in visits.items():
        images = [Image(sequence=s, file=files[s]) for s in Sequence if s in files]
        if not images:
            notes.append(f"Left out {files[_LABEL]}: a segmentation without images.")
            continue
        label = given.get((subject, session)) or classes.get(session) or classes.get(subject)
        if release.classes and label is None:
            unknown.append(subject)
        sessions.append(
            Session(
                dataset=release.dataset, subject=subject, session=session, images=tuple(images),
                segmentation=files.get(_LABEL), label=label,
            )
        )  # fmt: skip
    if unknown:
        columns = f"CSV with the columns '{release.classes.key}' and '{release.classes.value}' below {root}"
        where = f"not in a {columns}" if classes else f"there is no {columns}; put the data set's there"
        notes.append(f"No class for {listed(unknown)}: {where}.")
    return Index(root.resolve(), sessions), notes


def _paths(root: Path, closed: list[str]) -> Iterator[str]:
    """Yield every image below the root, relative, with slashes, in the order of the alphabet."""
    for relative, _, names in data_folders(root, closed):
        yield from (str(relative / name) for name in names if name.lower().endswith(IMAGE_SUFFIXES))


# LONI's table tells early and late MCI apart; ADHD-200's DX is 0 for typically developing, 1 to 3 for the types of
# ADHD; ABIDE's DX_GROUP is 1 for autism, 2 for controls.
_ADNI = ClassTable("Image Data ID", "Group", {"EMCI": "MCI", "LMCI": "MCI"})
_ADHD = ClassTable("ScanDir ID", "DX", {"0": "TDC", "1": "ADHD", "2": "ADHD", "3": "ADHD"}, digits=7)
_ABIDE = ClassTable("SUB_ID", "DX_GROUP", {"1": "ASD", "2": "CONTROL"}, digits=7)
_GLIOMA = {"t1": Sequence.T1, "t2": Sequence.T2, "flair": Sequence.FLAIR}

RELEASES = {
    "brats-2018": Release(
        "BraTS2018", r"(?P<label>HGG|LGG)/(?P<subject>Brats18_\w+)/(?P=subject)_(?P<file>t1ce|t1|t2|flair|seg)",
        {**_GLIOMA, "t1ce": Sequence.T1CE, "seg": _LABEL}, "HGG/Brats18_2013_2_1/Brats18_2013_2_1_t1.nii.gz",
    ),
    "upenn-gbm": Release(
        "UPENN-GBM",
        r"(?P<subject>UPENN-GBM-\d+)_(?P<session>\d+)(?:_automated_approx)?_(?P<file>T1GD|T1|T2|FLAIR|segm)",
        {**_GLIOMA, "t1gd": Sequence.T1CE, "segm": _LABEL},
        "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_T1.nii.gz",
    ),
    "mrbrains": Release(
        "MRBrainS13", r"(?:^|/)(?P<subject>(?:TestData/)?\d+)/(?P<file>T1|T2_FLAIR|LabelsForTesting)",
        {"t1": Sequence.T1, "t2_flair": Sequence.FLAIR, "labelsfortesting": _LABEL}, "TrainingData/1/T1.nii",
    ),
    "vs-seg": Release(
        "VS-SEG", r"vs_gk_(?P<subject>\d+)_t1/vs_gk_(?P<file>t1|seg)_refT1",
        {"t1": Sequence.T1CE, "seg": _LABEL}, "vs_gk_1_t1/vs_gk_t1_refT1.nii.gz",
    ),
    "adni": Release(
        "ADNI", r"(?P<subject>\d{3}_S_\d{4,5})/.*(?P<session>I\d+)/(?P<file>ADNI)_[^/]*",
        {"adni": Sequence.T1}, "002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722/ADNI_002_S_0295_MR_MP-RAGE_I13722.nii",
        _ADNI,
    ),
    "adhd-200": Release(
        "ADHD-200", r"(?P<subject>\d{7})/session_(?P<session>\d+)/anat_\d+/(?P<file>mprage)",
        {"mprage": Sequence.T1}, "KKI/1018959/session_1/anat_1/mprage.nii.gz", _ADHD,
    ),
    "abide": Release(
        "ABIDE-I", r"(?P<subject>\d{7})/session_(?P<session>\d+)/anat_\d+/(?P<file>mprage)",
        {"mprage": Sequence.T1}, "Caltech/0051456/session_1/anat_1/mprage.nii.gz", _ABIDE,
    ),
}  # fmt: skip
