"""The words of a file's name or a scan's description, as hospitals write them.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
import unicodedata

_STROKED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "ß": "ss"}
)  # Unicode takes none of them apart
# "W/O", and what is left of it where a file's name may have no slash: "W_O", "w-out".
_WO = re.compile(r"w/o(ut)?|(?<![a-z0-9])w[._ -]o(ut)?(?![a-z0-9])")
# "-C", "- gad", "s/ contraste", "o. KM", "o_KM": a hyphen in front of a medium says "without" only where it joins no
# two words, an s without its stroke only before the whole word (elsewhere it is sagittal).
_SHORT_WITHOUT = re.compile(
    r"((?<![^\s_(])-|(?<![a-z0-9])(s/|s[_ ](?=contrast)|o[._ ]))[_ ]?"
    r"(?=(c|km|mdc|civ|pdc|inj|gd|gad[a-z]*|[ck]ontrast(?![_ -]?enh)[a-z]*)(?![a-z0-9]))"
)


def folded(text: str) -> str:
    """Return a text in small letters without accents: "Repérage" and "før" become "reperage" and "for"."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).translate(_STROKED)


def split_words(text: str) -> list[str]:
    """Return the words of a text, folded; "C+" and "W/O" become words, another script's letters their own.

    >>> split_words("AX_T1 W/O +C")
    ['ax', 't1', 'without', 'contrast']
    """
    plain = _SHORT_WITHOUT.sub(" without ", _WO.sub(" without ", folded(text)))
    plain = re.sub(r"\+ ?c(?![a-z0-9])|(?<![a-z0-9])(c|iv|gd) ?\+", " contrast ", plain)
    plain = re.sub(r"(?<![a-z0-9])c-(?=$|[ _])|(?<=t1)c-(?=$|[ _])", " without ", plain)
    return re.findall(r"[a-z0-9]+|[^\W_a-z0-9]+", plain)
