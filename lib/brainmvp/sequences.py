"""The eight MRI sequences of BrainMVP, and how a file name tells which one it is.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
import unicodedata
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
LOWEST_B = 200  # s/mm²; below, an image shows T2 and not diffusion

# How data sets and scanners write each sequence, lower case, without separators. Sources: BraTS 2018-2023,
# ISLES 2022, IXI and UCSF-PDGM file names, BIDS 1.9 suffixes, vendors' usual series descriptions.
_NAMES = {
    Sequence.FLAIR: ("flair", "t2f", "t2flair", "flairt2", "darkfluid", "tirm", "压水", "抑水"),
    Sequence.T1: ("t1", "t1w", "t1wi", "t1n", "t1flair", "mprage", "bravo", "spgr"),
    Sequence.T1CE: ("t1ce", "t1c", "t1gd", "t1km", "t1post", "t1gad", "t1wce", "t1wgd", "t1wc", "t1cew"),
    Sequence.T2: ("t2", "t2w", "t2wi"),
    Sequence.MRA: ("mra", "tof", "angio"),
    Sequence.PD: ("pd", "pdw"),
    Sequence.DWI: ("dwi", "trace", "tracew", "b1000"),
    Sequence.ADC: ("adc", "adcmap"),
}
_SEQUENCE_OF_NAME = {name: sequence for sequence, names in _NAMES.items() for name in names}
# Two words that mean more than the last of them. Any others would join what does not belong together: "tra ce".
_SEQUENCE_OF_PAIR = {
    ("t2", "flair"): Sequence.FLAIR,
    ("flair", "t2"): Sequence.FLAIR,
    ("dark", "fluid"): Sequence.FLAIR,
    ("t1", "flair"): Sequence.T1,
    ("t1", "c"): Sequence.T1CE,
    ("t1w", "c"): Sequence.T1CE,
    ("t1wi", "c"): Sequence.T1CE,
    ("b", "1000"): Sequence.DWI,
}

# Words for contrast medium and for its absence, accents removed, in the languages of the scans we have met.
_CONTRAST = re.compile(
    r"^(ce|km|mdc|gd\w*|gad\w*|post(contrast|gd|gad|km)?|(contrast|kontrast|inject|injekt)\w*|enhanced|"
    r"dotarem|prohance|.*(增强|强化|造影).*)$"
)
_WITHOUT = re.compile(
    r"^(pre|nativ\w*|ohne|without|wo|sans|senza|sin|sem|zonder|uten|utan|bez|unenhanced|"
    r"(no|non|pre)(contrast|gd|gad|km)|(contrast|gd|gad|km)?neg(ativ\w*)?|平扫)$"
)
# "W/O", and what is left of it where a file's name may have no slash: "W_O", "w-out".
_WO = re.compile(r"w/o(ut)?|(?<![a-z0-9])w[._ -]o(ut)?(?![a-z0-9])")
# "-C", "- gad", "s/ contraste", "o. KM", "o_KM": a hyphen in front of a medium says "without" only where it joins no
# two words, an s without its stroke only before the whole word (elsewhere it is sagittal).
_SHORT_WITHOUT = re.compile(
    r"((?<![^\s_(])-|(?<![a-z0-9])(s/|s[_ ](?=contrast)|o[._ ]))[_ ]?"
    r"(?=(c|km|mdc|gd|gad[a-z]*|[ck]ontrast(?![_ -]?enh)[a-z]*)(?![a-z0-9]))"
)
_NEGATIONS = ("no", "non", "not", "kein", "vor", "avant", "before", "prior")
_FILLERS = ("iv", "de", "to")  # between a negation and what it negates
_THERAPY = (
    "op",
    "operative",
    "surgery",
    "resection",
    "biopsy",
    "treatment",
    "rt",
    "radiotherapy",
    "chemo",
    "therapy",
)
# What follows names the space that an image was brought into, not the image: "t1_to_flair".
_ONTO = ("to", "into", "onto", "in", "on", "auf", "sur", "reg", "coreg")
# A segmentation beside the images is not a sequence; nor is a map computed from one, although the name stands in it.
_LABEL = re.compile(
    r"^(d?seg|masks?|msk|maske|masque|labels?|lesions?|la?esion(en)?|lasion(en)?|segmentation|segmentierung|roi)$"
)
_DERIVED = re.compile(
    r"^(fa|md|rd|mip|subtra\w*|soustraction|perfusion|cbf|cbv|swi|swan|star|t2starw?|asl|bold|e?exp|eadc|stir|dir|"
    r"inv[12])$"
)
# What makes another image of the one that was named just before: "T1_map", but not "T1 in phase"; ADC is a map.
_NOT_ITSELF = ("map", "phase", "real", "imag", "imaginary")
_BIDS_PARTS = ("part-phase", "part-real", "part-imag")
_B_VALUE = re.compile(r"b(0|[1-9]\d*)$")


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
        words = _words("_".join(part for part in parts[1:] if not part.startswith("ses-")))
        if set(parts) & set(_BIDS_PARTS):
            return None
        agent = [part.split("-", 1)[1] for part in parts if part.startswith("acq-")]
        contrast = any(part.startswith("ce-") for part in parts) or any(map(states_contrast, agent))
    else:
        words = _before_onto(_words(filename))
        if any(_DERIVED.match(word) for word in words[-3:]) or words[-1:] == ["sub"] or _is_another(words):
            return None
        found, contrast = _last_name(words), states_contrast(filename)
        if found is Sequence.T2 and {"gre", "ffe", "hemo"} & set(words):  # what T2* is called, too
            return None
    if found is Sequence.DWI and "adc" in words:  # a map may say what it was computed from
        return Sequence.ADC
    if found is Sequence.DWI and _is_unweighted(words):
        return None
    return Sequence.T1CE if found is Sequence.T1 and contrast else found


def states_contrast(text: str) -> bool | None:
    """Return whether a name or description states contrast medium; None where it says nothing of it.

    Of a text that states both, the absence counts: an enhancing tumour cannot be seen in a plain image.

    >>> states_contrast("T1 mit KM"), states_contrast("T1_sans_gado"), states_contrast("T1")
    (True, False, None)
    """
    words, stated = _words(text), None
    for index, word in enumerate(words):
        if words[index + 1 : index + 2] and words[index + 1] in _THERAPY:  # "post op", "pre RT"
            continue
        before = [w for w in words[max(index - 2, 0) : index] if w not in _FILLERS][-1:]
        negated = bool(before) and (before[0] in _NEGATIONS or bool(_WITHOUT.match(before[0])))
        if _WITHOUT.match(word) or (negated and _CONTRAST.match(word)):
            return False
        if _CONTRAST.match(word):
            stated = True
    return stated


def _words(text: str) -> list[str]:
    """Return the words of a name, small, without accents; letters of another script are words of their own."""
    plain = unicodedata.normalize("NFKD", strip_suffix(text).lower())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = _SHORT_WITHOUT.sub(" without ", _WO.sub(" without ", plain))
    plain = re.sub(r"\+ ?c(?![a-z0-9])|(?<![a-z0-9])(c|iv|gd) ?\+", " contrast ", plain)
    plain = re.sub(r"(?<![a-z0-9])c-(?=$|[ _])|(?<=t1)c-(?=$|[ _])", " without ", plain)
    return re.findall(r"[a-z0-9]+|[^\W_a-z0-9]+", plain)


def _before_onto(words: list[str]) -> list[str]:
    for index, word in enumerate(words):
        if word in _ONTO and _last_name(words[:index]):
            return words[:index]
    return words


def _is_another(words: list[str]) -> bool:
    """Tell whether what a name states last is a map of that sequence, or not its magnitude."""
    pairs = [pair for pair in zip(words, words[1:]) if pair[0] in _SEQUENCE_OF_NAME]
    return bool(pairs) and pairs[-1][1] in _NOT_ITSELF and pairs[-1] != ("adc", "map")


def _is_unweighted(words: list[str]) -> bool:
    """Tell whether a name states b-values and none that weights: "b0", "b 0", "b50"."""
    joined = [*words, *("b" + word for before, word in zip(words, words[1:]) if before == "b")]
    values = [int(found.group(1)) for found in map(_B_VALUE.match, joined) if found]
    return bool(values) and max(values) < LOWEST_B


def _last_name(words: list[str]) -> Sequence | None:
    for end in range(len(words), 0, -1):
        found = _SEQUENCE_OF_PAIR.get(tuple(words[max(end - 2, 0) : end])) or _SEQUENCE_OF_NAME.get(
            words[end - 1]
        )
        if found:
            return found
    return None
