"""Whether words state contrast medium or its absence: "mit KM", "sans gado", "prima di mdc".

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re

from brainmvp.words import split_words

# All words folded, in the languages of the scans we have met. "gdc" is no medium but the correction of gradients.
_MEDIA = (
    "ce", "km", "kmplus", "mitkm", "nachkm", "mdc", "civ", "pdc", "inj", "post", "postcontrast", "postgd", "postgad",
    "postkm", "enhanced",
    "gadavist", "gadbutrol", "dotarem", "prohance", "clariscan", "magnevist", "multihance", "omniscan", "elucirem",
    "vueway",
)  # fmt: skip
_MEDIUM = re.compile(
    r"(contrast|kontrast|inject|injekt)\w*|gd(dota|dtpa|bopta|do3a)?|gado?|(gd|gado?)(\d\w*|iv|fs|ax|tra|cor|sag)|"
    r"gado(lin|vist|but|ter|pen|ben|dia|xe|pic|fos|ver)[a-z]*|.*(增强|强化|造影).*"
)
_PREPOSITIONS = (
    "ohne", "without", "wo", "sans", "senza", "sin", "sem", "zonder", "uten", "utan", "bez",
)  # fmt: skip
_ABSENCE = re.compile(
    r"^(pre|nativ\w*|unenhanced|(no|non|pre|vor|ohne)(contrast|gd|gad|km)|(contrast|gd|gad|km)?neg(ativ\w*)?|"
    r"(km|kontrast)(mittel)?frei|平扫)$"
)
# Not, and before, in front of a medium.
_NEGATIONS = (
    "no", "non", "not", "kein", "keine", "geen",
    "before", "prior", "vor", "avant", "ante", "antes", "prima", "voor", "for", "fore", "innan", "przed",
)  # fmt: skip
_FILLERS = ("i", "v", "iv", "de", "del", "della", "di", "du", "l", "la", "to", "the")  # after a negation
# What a scan is without that has nothing to do with contrast: "KM ohne FS", "sans saturation de graisse".
_FAT = re.compile(r"^(fs|fat\w*|fett\w*|sat\w*|supp?re\w*|sopp\w*|spair|spir|graisse|grasa|gordura|skull)$")
_AND = ("and", "or", "und", "oder", "et", "ou", "y", "o", "e")
# "Post op", "pre RT" is a visit, "post processed" what was done to the image.
_EVENT = re.compile(
    r"^(op|operat\w*|surg\w*|rese[ck]t\w*|crani(ot|ect)\w*|biops\w*|treat\w*|tx|rt|radiation|radio\w*|srs|chemo\w*|"
    r"therap\w*|(trans|im)plant\w*|interven\w*|ablat\w*|litt|dbs|shunt\w*|emboli\w*|stroke|infar[ck]t\w*|thromb\w*|tpa|"
    r"tbi|trauma\w*|ictal|mortem|process\w*)$"
)
# First or last in the header's field for the agent: there was none; or nothing is known.
_NO_AGENT = (
    "no", "none", "nil", "n", "false", "kein", "keine", "keines", "geen", "aucun", "ninguno", "nessuno", "nenhum",
    "ingen", "nein", "nicht", "无", "нет", *_PREPOSITIONS,
)  # fmt: skip
_NOT_SAID = (["unknown"], ["unspecified"], ["unbekannt"], ["inconnu"], ["na"], ["n", "a"], ["k", "a"])
_UNITS = ("ml", "cc", "mg", "kg", "mmol", "l")


def states_contrast(text: str) -> bool | None:
    """Return whether a name or description states contrast medium; None where it says nothing of it.

    Of a text that states both, the absence counts: an enhancing tumour cannot be seen in a plain image.

    >>> states_contrast("T1 mit KM"), states_contrast("T1_sans_gado"), states_contrast("T1")
    (True, False, None)
    """
    return contrast_in(split_words(text))


def contrast_in(words: list[str]) -> bool | None:
    """Return what `states_contrast` does, of words that are split."""
    stated = None
    for index, word in enumerate(words):
        after = words[index + 1 :]
        if word in ("post", "pre") and after and _EVENT.match(after[0]):
            continue
        if word in _PREPOSITIONS or _ABSENCE.match(word):
            if not _of_something_else(word, after):
                return False
        elif word in _MEDIA or _MEDIUM.fullmatch(word):
            before = [each for each in words[:index] if each not in _FILLERS][-1:]
            if before and before[0] in _NEGATIONS:
                return False
            stated = True
    return stated


def names_agent(text: str) -> bool | None:
    """Return whether the header's field for the contrast agent names one; None where it says nothing.

    >>> names_agent("Gadovist 7 ml"), names_agent("Kein KM"), names_agent("0 ml"), names_agent("-")
    (True, False, False, None)
    """
    words = re.findall(r"\d+|[^\W\d_]+", " ".join(split_words(text)))
    if not words or words in _NOT_SAID:
        return None
    if any(word in _NO_AGENT or _ABSENCE.match(word) for word in (words[0], words[-1])) or "not" in words:
        return False
    if words[0] in _NEGATIONS and contrast_in(words[:2]) is False:  # "non contrast", but "non-ionic contrast"
        return False
    return any(int(word) if word.isdigit() else word not in _UNITS for word in words)


def _of_something_else(word: str, after: list[str]) -> bool:
    """Tell whether a word of absence is not of contrast medium: "ohne FS", "native space"."""
    if word.startswith("nativ"):
        return after[:1] == ["space"]
    if word not in _PREPOSITIONS:
        return False
    rest = [each for each in after if each not in _FILLERS]
    fat = next((number for number, each in enumerate(rest) if not _FAT.match(each)), len(rest))
    return fat > 0 and rest[fat : fat + 1] not in [[each] for each in _AND]
