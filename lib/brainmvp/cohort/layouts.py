"""How data sets lay out their files: the patient and visit that a path belongs to."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from brainmvp.sequences import strip_suffix

_ONLY = "1"  # the session of a patient with one visit, where a data set does not number them
_BIDS = re.compile(r"^sub-(?P<subject>[A-Za-z0-9]+)(?:_ses-(?P<session>[A-Za-z0-9]+))?(?:_|$)")
_BIDS_FOLDER = re.compile(r"^sub-(?P<subject>[A-Za-z0-9]+)(?:/ses-(?P<session>[A-Za-z0-9]+))?(?:/[a-z]+)?$")
_RAW = ("rawdata", "raw_data")  # beside derivatives: BIDS' usual name, and that of ISLES 2024

# Data sets that write patient and visit into the name of a folder or file, and what they are called here, wherever the
# files lie: a patient has one name in every index. Sources: the releases' own file names.
_NAMED = tuple(
    (re.compile(pattern), dataset)
    for pattern, dataset in (
        # BraTS 2023 and later
        (r"^(?P<subject>(?P<set>BraTS-[A-Za-z]+)-\d+)-(?P<session>\d{3})(?=\D|$)", r"\g<set>"),
        (r"^(?P<subject>BraTS2021_\d+)(?=\D|$)", "BraTS2021"),
        (r"^(?P<subject>BraTS20_[A-Za-z]+_\d+)(?=\D|$)", "BraTS2020"),
        (
            r"^(?P<subject>(?i:brats)(?P<year>1[89])_[A-Za-z0-9]+_[A-Za-z0-9]+_\d+)(?=\D|$)",
            r"BraTS20\g<year>",
        ),
        (r"^(?P<subject>UCSF-PDGM-\d+)(?:_(?P<session>FU\d+d))?(?=\D|$)", "UCSF-PDGM"),
        (r"^(?P<subject>UPENN-GBM-\d+)_(?P<session>\d+)(?=\D|$)", "UPENN-GBM"),
        (r"^(?P<subject>IXI\d+)-[A-Za-z]+-\d+(?=\D|$)", "IXI"),
    )
)

# What visits of one patient are called, in folders of their own: a word with a number, or a date, year or day first.
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:(?:19|20)\d\d)"
_DATE = (
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|{_YEAR}(?P<sep>[-_.]){_MONTH}(?P=sep){_DAY}|{_DAY}(?P<mark>[-_.]){_MONTH}(?P=mark){_YEAR}"
)
_SHORT = r"(?:mr|v|t)[-_ ]?\d\d?"
_VISIT = re.compile(
    rf"^(?:(?:ses|session|visit|timepoint|tp|fu|follow-?up)[-_ ]?\d+|{_SHORT}|baseline|follow-?up|"
    rf"(?:week|month|day)[-_ ]?\d+(?:[-_]\d+)?|"  # LUMIERE: week-000-2, its second scan
    rf"(?:pre|post)-?op|(?:{_DATE})(?:[-_ T].*)?)$",
    re.IGNORECASE,
)

# Folders within a visit's: what kind of images they hold, and not whose.
_KIND = re.compile(
    r"^(?:(?:anat|func|dwi|perf)(?:[-_]?\d+)?|adc|flair|t1(?:w|n|c|ce|gd)?|t2(?:w|f)?|pd|mra|scans|nifti|nii)$",
    re.IGNORECASE,
)

# A visit by the list above that may as well be the number of a patient.
COULD_BE_PATIENT = re.compile(rf"^{_SHORT}$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Whose file it is; guessed: the data set's name could as well be a patient's, and the subject a visit."""

    dataset: str
    subject: str
    session: str
    guessed: bool = field(default=False, compare=False, repr=False)


def place_of(path: PurePosixPath, root_name: str) -> Place:
    """Return whose image a path is.

    Understood are BIDS (entities in the file's name, else in those of its folders), the names of BraTS, UCSF-PDGM,
    UPENN-GBM and IXI, which also lie flat in one folder per sequence, and else one folder per patient, or per visit in
    the patient's, if it is called by a date (20240131, 2024-01-31, 31.1.2024) or as a visit (visit-1, week-12, MR1,
    baseline). Folders for a kind of image within it (anat, flair) do not count. The data set is that of the name, else
    the first folder where there is one above these (as in BrainMVP-16k), else the root's name.

    Args:
        path: relative to the root.
        root_name: name of the root folder.

    >>> place_of(PurePosixPath("BraTS2023_MEN/BraTS-MEN-00004-000/BraTS-MEN-00004-000-t1c.nii.gz"), "16k")
    Place(dataset='BraTS-MEN', subject='BraTS-MEN-00004', session='000')
    >>> place_of(PurePosixPath("Miller/2024-01-31/flair.nii.gz"), "clinic")
    Place(dataset='clinic', subject='Miller', session='2024-01-31')
    """
    folders = path.parts[:-1]
    name = strip_suffix(path.name)
    first = next((i for i, part in enumerate(folders) if part.startswith("sub-")), len(folders))
    bids = _BIDS.match(name) or _BIDS_FOLDER.match("/".join(folders[first:]))
    if bids:
        above = _above_bids(folders[:first])
        return Place(above[0] if above else root_name, bids["subject"], bids["session"] or _ONLY)
    for text in (*reversed(folders), name):
        for pattern, dataset in _NAMED:
            match = pattern.match(text)
            if match:
                session = match.groupdict().get("session") or _ONLY
                return Place(match.expand(dataset), match["subject"], session)
    folders = _of_visit(folders)
    if len(folders) > 1 and _VISIT.match(folders[-1]):
        return Place(_dataset(folders, folders[-2], root_name), folders[-2], folders[-1])
    if not folders:
        return Place(root_name, root_name, _ONLY)
    return Place(_dataset(folders, folders[-1], root_name), folders[-1], _ONLY, guessed=len(folders) > 1)


def _above_bids(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders above a BIDS subject, but for those that say which part of the tree it is, or who made it."""
    of_tree = itertools.takewhile(lambda part: part != "derivatives", folders)
    return tuple(part for part in of_tree if part not in _RAW)


def _of_visit(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders down to the visit's, or else the patient's."""
    while len(folders) > 1 and _KIND.match(folders[-1]) and not _is_time_point(folders):
        folders = folders[:-1]
    return folders


def _is_time_point(folders: tuple[str, ...]) -> bool:
    """Tell whether the last folder (`T1`) may be a visit: it is none within one that nothing else can be."""
    above = folders[-2]
    return bool(_VISIT.match(folders[-1])) and (
        not _VISIT.match(above) or bool(COULD_BE_PATIENT.match(above))
    )


def _dataset(folders: tuple[str, ...], patient: str, root_name: str) -> str:
    """Return the first folder above the patient's, else the root's name."""
    return folders[0] if folders.index(patient) > 0 else root_name
