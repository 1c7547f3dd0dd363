"""Files beside an image that bear its name and its sequence's, and are none: masks, tissue maps, fields."""

import re

from brainmvp.sequences import sequence_of, strip_suffix

# Masks as people call them, where `is_label` does not know them; what FSL writes beside T1 (fast, fnirt); its
# `_bias` is not here, as UCSF-PDGM calls the corrected image so.
_OTHER = re.compile(
    r"(?<![a-z0-9])(?:gt|ground[-_ ]?truth|annotations?|contours?|wmh|tumou?r|lesions?[-_ ]?masks?|masks?|seg|labels?|"
    r"pve\w*|mixeltype|warp|jac|bias[-_ ]?field|prob)(?![a-z0-9])",
    re.IGNORECASE,
)


def is_of_image(filename: str) -> bool:
    """Tell whether a file is made from the image that its name states, by a word after the sequence.

    >>> is_of_image("P01-FLAIR-GT.nii.gz"), is_of_image("GT-01_FLAIR.nii.gz")
    (True, False)
    """
    name = strip_suffix(filename)
    return any(sequence_of(name[: found.start()].rstrip("-_. ")) for found in _OTHER.finditer(name))
