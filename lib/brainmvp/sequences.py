"""The eight MRI sequences of BrainMVP, and how a file name tells which one it is.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from brainmvp.contrast import contrast_in, names_agent, states_contrast
from brainmvp.words import split_words


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
    Sequence.MRA: ("mra", "tof", "3dtof", "tof3d", "angio"),
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
# Names of a technique or a part, which stand beside those of other sequences.
_INEXACT = (
    "mprage", "bravo", "spgr", "tirm", "darkfluid", "tof", "3dtof", "tof3d", "angio", "trace", "tracew", "b1000",
)  # fmt: skip
# What else a name of each sequence may state in exact words; any other two sequences leave it open.
_GO_WITH = {
    Sequence.FLAIR: {Sequence.T2},
    Sequence.T1CE: {Sequence.T1},
    Sequence.DWI: {Sequence.ADC},
    Sequence.ADC: {Sequence.DWI},
}
# "KM-003", "post_01": a patient or a visit, in front of the sequence. "7 ml" and "1.5T" are no such numbers.
_INITIALS = re.compile(r"[a-z]{1,4}\d*$")
_UNIT = re.compile(r"\d*(ml|mm|cm|min|sec|s|t|tesla|mmol|mg|kg)$")
_SUBJECT = re.compile(r"(?i)(?<![a-z0-9])sub(-[a-z]*|_?0)\d+")
# What follows names the space that an image was brought into, not the image: "t1_to_flair", "FLAIR_space-T1".
_ONTO = ("to", "into", "onto", "in", "on", "auf", "sur", "reg", "coreg")
_ONTO_SEQUENCE = ("registered", "flirt", "aligned", "warped", "resampled", "space")
# A segmentation beside the images is not a sequence; nor is a map computed from one, although the name stands in it.
_LABEL = re.compile(
    r"^(d?seg|masks?|msk|maske|masque|labels?|lesions?|la?esion(en)?|lasion(en)?|segmentation|segmentierung|roi)$"
)
# Computed from a sequence, or another scan, wherever it stands: dcm2niix appends a time and a number, hospitals more.
_COMPUTED = (
    "mip", "minip", "mnip", "soustraction", "sustraccion", "sottrazione", "cbf", "cbv", "rcbf", "rcbv", "relcbf",
    "relcbv", "mtt", "ttp", "tmax", "qsm",
)  # fmt: skip
_OTHER_SCANS = (
    "swi", "swi3d", "swip", "sswip", "swan", "perf", "dsc", "dce", "asl", "pwi", "bold", "scout", "survey", "reperage",
    "loc", "aahscout", "smartbrain", "spine", "cspine", "tspine", "lspine", "cervical", "thoracic", "lumbar", "hws",
    "bws", "lws",
)  # fmt: skip
_COMPUTED_STEMS = ("subtra", "substra")
_OTHER_STEMS = ("perfusion", "topogram", "localis", "localiz", "lokalis", "lokaliz")
# These mean something else in front of the sequence.
_OTHER_AT_THE_END = re.compile(r"^(fa|md|rd|star|t2starw?|e?exp|eadc|stir|dir|inv[12])$")
# What looks like T2 by its name and is T2*-weighted or in a steady state.
_NOT_T2 = ("gre", "ffe", "hemo", "fl2d", "me2d", "ciss", "ciss3d", "ci3d", "fiesta", "trufi")
# What makes another image of the one that was named just before: "T1_map", but not "T1 in phase"; ADC is a map.
_NOT_ITSELF = ("map", "mapping", "phase", "real", "imag", "imaginary")
# The parts of a BIDS value: "mpragePost".
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_CONTRAST_AT_THE_END = re.compile(r"(no|non|pre|vor|ohne)?(post|gd|gad|km)$")
_BIDS_PARTS = ("part-phase", "part-real", "part-imag")
_B_VALUE = re.compile(r"b(0|[1-9]\d*)$")


class _Name(NamedTuple):
    """Where in the words of a name a sequence stands."""

    place: int
    sequence: Sequence
    exact: bool


def strip_suffix(name: str) -> str:
    """Return the file name without its image suffix (`a.nii.gz` becomes `a`)."""
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_label(filename: str) -> bool:
    """Tell whether a file is a segmentation that lies beside the images, by its last two words."""
    return any(_LABEL.match(word) for word in split_words(strip_suffix(filename))[-2:])


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
    name = strip_suffix(filename)
    parts = name.split("_")
    if parts[0].startswith("sub-") and len(parts) > 1:
        found, contrast, words = _of_bids(parts)
    else:
        found, contrast, words = _of_words(_before_onto(split_words(_SUBJECT.sub(" ", name))))
    if found is Sequence.DWI and "adc" in words:  # a map may say what it was computed from
        return Sequence.ADC
    if found is Sequence.DWI and _is_unweighted(words):
        return None
    return Sequence.T1CE if found is Sequence.T1 and contrast else found


def _of_bids(parts: list[str]) -> tuple[Sequence | None, bool, list[str]]:
    """Return the sequence of a BIDS name, whether it states contrast medium, and the name's words."""
    found = _SEQUENCE_OF_NAME.get(parts[-1].lower())
    words = split_words("_".join(part for part in parts[1:] if not part.startswith(("ses-", "space-"))))
    acquired = [_CAMEL.sub(" ", part[4:]) for part in parts if part.startswith("acq-")]
    agents = [names_agent(_CAMEL.sub(" ", part[3:])) for part in parts if part.startswith("ce-")]
    said = {word for value in acquired for word in split_words(value)}
    if set(parts) & set(_BIDS_PARTS) or any(map(_is_computed_or_other, words)):
        return None, False, words
    if found is Sequence.T2 and said & {"ir", "tirm", "flair", *_NOT_T2}:
        return None, False, words
    return found, False not in agents if agents else any(map(_value_states_contrast, acquired)), words


def _value_states_contrast(value: str) -> bool | None:
    """Return whether the value of an entity states contrast; BIDS lets nothing part its words: "mpragepost"."""
    stated, end = states_contrast(value), _CONTRAST_AT_THE_END.search(value.lower())
    return not end.group(1) if end and stated is None else stated


def _of_words(words: list[str]) -> tuple[Sequence | None, bool, list[str]]:
    """Return the sequence that words state, whether they state contrast medium, and the words."""
    names = _names(words)
    if len(names) > 1 and names[0].sequence is Sequence.PD:  # Parkinson's disease, or a double echo
        names = names[1:]
    first = names[0].place if names else 0
    own = _without_patient(words, first)
    is_other = any(map(_is_computed_or_other, [*own, *words[-3:]])) or any(
        map(_OTHER_AT_THE_END.match, words[-3:])
    )
    is_subtraction = "sub" in words[max(first - 1, 0) :]
    if is_other or is_subtraction or _is_another(words):
        return None, False, words
    found = _one_of(names)
    is_inverted = "ir" in own or ("da", "fl") in zip(words, words[1:])  # a FLAIR or STIR
    if found is Sequence.T2 and (is_inverted or set(_NOT_T2) & set(words)):
        return None, False, words
    return found, bool(contrast_in(own)), words


def _one_of(names: list[_Name]) -> Sequence | None:
    """Return which sequence is meant by the names in a text, None where that cannot be told."""
    if not names:
        return None
    found = names[-1].sequence
    stated = {name.sequence for name in names if name.exact}
    if found is Sequence.FLAIR and not names[-1].exact:  # Siemens' T1 with inversion is "t1_tirm_dark-fluid"
        found = next((each for each in (Sequence.T1CE, Sequence.T1) if each in stated), found)
    if found is Sequence.T2 and Sequence.FLAIR in (name.sequence for name in names):
        return None
    return found if stated <= _GO_WITH.get(found, set()) | {found} else None


def _before_onto(words: list[str]) -> list[str]:
    """Return the words of an image that was brought into the space of another, without those of the other."""
    for index, word in enumerate(words[:-1]):
        before, after = _names(words[:index]), _names(words[index + 1 :])
        target = words[index + 1]
        onto = word in _ONTO and (after or _is_other(target) or _OTHER_AT_THE_END.match(target))
        onto = onto or (word in _ONTO_SEQUENCE and after)
        onto = onto or (word == "2" and {words[index - 1], target} <= set(_SEQUENCE_OF_NAME))
        if before and onto and not _is_space_flair(word, before[-1], after):
            return words[:index]
    return words


def _is_space_flair(word: str, before: _Name, after: list[_Name]) -> bool:
    """Tell whether a name is of Siemens' spin echo SPACE: "t2_space_dark-fluid" is a FLAIR."""
    is_flair = bool(after) and after[-1].sequence is Sequence.FLAIR
    return word == "space" and before.sequence is Sequence.T2 and is_flair


def _is_other(word: str) -> bool:
    return word in _OTHER_SCANS or word.startswith(_OTHER_STEMS)


def _is_computed_or_other(word: str) -> bool:
    return word in _COMPUTED or word.startswith(_COMPUTED_STEMS) or _is_other(word)


def _without_patient(words: list[str], first: int) -> list[str]:
    """Return the words without initials and visits with their numbers in front of the sequence: "KM-003_t1"."""
    last = max((n for n in range(first) if words[n].isdigit() and not _UNIT.match(words[n + 1])), default=-1)
    return [
        word
        for number, word in enumerate(words)
        if number >= first or not _INITIALS.match(word) or (number > last and word.isalpha())
    ]


def _is_another(words: list[str]) -> bool:
    """Tell whether what a name states last is a map of that sequence, or not its magnitude."""
    pairs = [pair for pair in zip(words, words[1:]) if pair[0] in _SEQUENCE_OF_NAME]
    return bool(pairs) and pairs[-1][1] in _NOT_ITSELF and pairs[-1] != ("adc", "map")


def _is_unweighted(words: list[str]) -> bool:
    """Tell whether a name states b-values and none that weights: "b0", "b 0", "b50"."""
    joined = [*words, *("b" + word for before, word in zip(words, words[1:]) if before == "b")]
    values = [int(found.group(1)) for found in map(_B_VALUE.match, joined) if found]
    return bool(values) and max(values) < LOWEST_B


def _names(words: list[str]) -> list[_Name]:
    """Return where words name a sequence, which, and whether exactly: "t1", not "mprage"."""
    found: list[_Name] = []
    end = len(words)
    while end > 0:
        pair, word = tuple(words[max(end - 2, 0) : end]), words[end - 1]
        if pair in _SEQUENCE_OF_PAIR:
            end -= 2
            found.append(_Name(end, _SEQUENCE_OF_PAIR[pair], pair != ("dark", "fluid")))
        else:
            end -= 1
            if word in _SEQUENCE_OF_NAME:
                found.append(_Name(end, _SEQUENCE_OF_NAME[word], word not in _INEXACT))
    return found[::-1]
