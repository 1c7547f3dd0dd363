"""The eight MRI sequences of BrainMVP, and how a file name tells which one it is.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
from enum import Enum


class Sequence(str, Enum):
    """An MRI sequence; the order is that of the published templates (official script, `--template_index`)."""

    FLAIR = "FLAIR"
    T1 = "T1"
    T1CE = "T1CE"
    T2 = "T2"
    MRA = "MRA"
    PD = "PD"
    DWI = "DWI"
    ADC = "ADC"

    def __str__(self) -> str:
        return self.value


IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mgz")

# How data sets and scanners write each sequence, lower case, without separators. Sources: BraTS 2018-2023,
# ISLES 2022, IXI and UCSF-PDGM file names, BIDS 1.9 suffixes, vendors' usual series descriptions.
_NAMES = {
    Sequence.FLAIR: ("flair", "t2f", "t2flair", "flairt2", "darkfluid", "tirm"),
    Sequence.T1: ("t1", "t1w", "t1n", "t1flair", "mprage", "bravo", "spgr"),
    Sequence.T1CE: ("t1ce", "t1c", "t1gd", "t1km", "t1post", "t1gad", "t1wce", "t1wgd", "t1wc", "t1cew"),
    Sequence.T2: ("t2", "t2w"),
    Sequence.MRA: ("mra", "tof", "angio"),
    Sequence.PD: ("pd", "pdw"),
    Sequence.DWI: ("dwi", "trace", "tracew", "b1000"),
    Sequence.ADC: ("adc",),
}
_SEQUENCE_OF_NAME = {name: sequence for sequence, names in _NAMES.items() for name in names}

_CONTRAST = re.compile(r"^(ce|gd|gad|km|contrast|post(contrast|gd|gad)?|gado.*|dotarem|gadavist)$")
_AFTER_SURGERY = ("op", "operative", "surgery", "resection", "treatment")
# A segmentation beside the images is not a sequence; nor is a map computed from one, although the name stands in it.
_LABEL = re.compile(r"^(d?seg|masks?|msk|labels?|lesions?|segmentation|roi)$")
_DERIVED = re.compile(
    r"^(fa|md|rd|mip|subtraction|perfusion|cbf|cbv|swi|swan|star|t2starw?|asl|bold|e?exp|eadc)$"
)


def strip_suffix(name: str) -> str:
    """Return the file name without its image suffix (`a.nii.gz` becomes `a`)."""
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_label(filename: str) -> bool:
    """Tell whether a file is a segmentation that lies beside the images, by its last two words."""
    return any(_LABEL.match(word) for word in _words(filename)[-2:])


def sequence_of(filename: str) -> Sequence | None:
    """Return the sequence that a file name, BIDS name or series description states, or None where it states none.

    Names are read from the end, where data sets put the sequence. In a BIDS name (`sub-…`) only the suffix
    counts, with the `ce-` and `acq-` entities for contrast: `ses-post` is a session, not an injection.

    >>> sequence_of("BraTS-GLI-00000-000-t2f.nii.gz")
    <Sequence.FLAIR: 'FLAIR'>
    >>> sequence_of("sub-01_ce-GADOLINIUM_T1w.nii.gz")
    <Sequence.T1CE: 'T1CE'>
    """
    if "t2*" in filename.lower():
        return None
    parts = strip_suffix(filename).split("_")
    if parts[0].startswith("sub-") and len(parts) > 1:
        found = _SEQUENCE_OF_NAME.get(parts[-1].lower())
        agent = [part.split("-", 1)[1] for part in parts if part.startswith("acq-")]
        contrast = any(part.startswith("ce-") for part in parts) or any(
            map(_has_contrast, map(_words, agent))
        )
    else:
        words = _words(filename)
        if any(_DERIVED.match(word) for word in words[-3:]):
            return None
        found, contrast = _last_name(words), _has_contrast(words)
    return Sequence.T1CE if found is Sequence.T1 and contrast else found


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", strip_suffix(text).lower()) if word]


def _has_contrast(words: list[str]) -> bool:
    return any(
        _CONTRAST.match(word) and not (words[index + 1 :] and words[index + 1] in _AFTER_SURGERY)
        for index, word in enumerate(words)
    )


def _last_name(words: list[str]) -> Sequence | None:
    # Pairs first: "t2 flair" is FLAIR and "t1 c" is T1CE, before "flair" or "t1".
    for end in range(len(words), 0, -1):
        pair = "".join(words[max(end - 2, 0) : end])
        found = _SEQUENCE_OF_NAME.get(pair) or _SEQUENCE_OF_NAME.get(words[end - 1])
        if found:
            return found
    return None
