"""What the images of one folder are by their names: some tell it only beside the others.

Files beside an image may bear its name and its sequence's and be none: masks, tissue maps, fields.
"""

import re
from collections.abc import Iterable
from itertools import takewhile

from brainmvp.sequences import Sequence, is_label, sequence_of, strip_suffix

# Masks as people call them, where `is_label` does not know them; what FSL writes beside T1 (fast, fnirt); its
# `_bias` is not here, as UCSF-PDGM calls the corrected image so.
_OTHER = re.compile(
    r"(?<![a-z0-9])(?:gt|ground[-_ ]?truth|annotations?|contours?|wmh|tumou?r|lesions?[-_ ]?masks?|masks?|seg|labels?|"
    r"pve\w*|mixeltype|warp|jac|bias[-_ ]?field|prob)(?![a-z0-9])",
    re.IGNORECASE,
)

# LUMIERE calls T1 with contrast CT1; without T1, T2 and FLAIR beside it, that may be a first CT.
_CT1_BESIDE = {"t1", "t2", "flair"}


def sequences_of(names: Iterable[str]) -> dict[str, Sequence | None]:
    """Return the sequence of each image file of one folder, by its name; None where it cannot be told.

    Segmentations are left out. What all names begin with is no contrast medium: KM may be a patient's initials.

    >>> sequences_of(["KM_t1.nii.gz", "KM_flair.nii.gz", "KM_flair_wmh.nii.gz", "KM_seg.nii.gz"])
    {'KM_t1.nii.gz': None, 'KM_flair.nii.gz': <Sequence.FLAIR: 'FLAIR'>, 'KM_flair_wmh.nii.gz': None}
    """
    images = [name for name in names if not is_label(name)]
    start = _shared_start(images)
    found = {name: None if _is_of_image(name) else _sequence_behind(start, name) for name in images}
    stems = {strip_suffix(name).lower(): name for name in images}
    if "ct1" in stems and stems.keys() >= _CT1_BESIDE:
        found[stems["ct1"]] = Sequence.T1CE
    return found


def _is_of_image(filename: str) -> bool:
    """Tell whether a file is made from the image that its name states, by a word after the sequence."""
    name = strip_suffix(filename)
    return any(sequence_of(name[: found.start()].rstrip("-_. ")) for found in _OTHER.finditer(name))


def _shared_start(names: list[str]) -> str:
    """Return the words that all files' names begin with; none if they tell a sequence, or in BIDS, what they are."""
    words = zip(*(re.split(r"(?<=[ _.-])", name) for name in names), strict=False)
    start = "".join(same[0] for same in takewhile(lambda each: len(set(each)) == 1, words))
    return "" if start.startswith("sub-") or sequence_of(start) else start


def _sequence_behind(start: str, name: str) -> Sequence | None:
    """Return a file's sequence; None if only the start of all names says contrast."""
    found = sequence_of(name)
    is_open = found is Sequence.T1CE and sequence_of(name.removeprefix(start)) is Sequence.T1
    return None if is_open else found
