"""What belongs to a diffusion measurement: its ADC, its weighted and its other images.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re

from brainmvp.dicom.facts import Facts, image_type, milliseconds, quoted, scanning, text_of, words_of
from brainmvp.dicom.unfit import MAPS, is_secondary, map_words, where
from brainmvp.dicom.verdict import Verdict
from brainmvp.sequences import LOWEST_B, Sequence

_WORDS = re.compile(
    r"(?<![a-z])dif(f(?!use)|us)|dwi|trace|(?<![a-z])resolve|(?<![a-z])dti|\bb ?= ?\d{3}|(ep|re)_b\d"
)
_TRACE = {"TRACEW", "TRACE"}
# What workstations call a weighted image that they computed from the directions.
_COMBINED = _TRACE | {"ISO", "ISOTROPIC", "COMBINED", "DWI"}
_B_ALONE = re.compile(r"\W*b ?=? ?\d{3,4}\W*$")
# Maps by their whole names, as GE writes them, with its misprint.
_SPELLED_OUT = {
    "exponential ADC map": r"exponential.*(apparent|diffusion|\badc)",
    "ADC": r"apparent diffusion",
    "fractional anisotropy map": r"fractional an(iso|sio)",
    "diffusion tensor map": r"average dc\b|(mean|axial|radial) diffusivity|volume ratio",
}


def diffusion(facts: Facts) -> Verdict | None:
    """Return a verdict for an image of a diffusion measurement."""
    types, words = image_type(facts), words_of(facts)
    b_value = facts.get("DiffusionBValue")
    # The last words of a name tell the map; the header's image type is asked first.
    spelled = _spelled_out(facts)
    if types & MAPS["exponential ADC map"] or {"EADC", "EXP"} & words:
        return Verdict(None, "exponential ADC map", where("EADC", types))
    if types & {"ADC", "ADC_UNSPECIFIED"}:
        return Verdict(Sequence.ADC, "ADC", "image type ADC")
    mapped = words if b_value or "EP" in scanning(facts) or _named(facts) else map_words(facts)
    for what in ("fractional anisotropy map", "diffusion tensor map"):
        if found := sorted((types & MAPS[what]) or (mapped & MAPS[what])):
            return Verdict(None, what, where(found[0], types))
    if spelled and spelled != "ADC":
        return Verdict(None, spelled, f"description {quoted(facts)}")
    # A map can keep the b-value of the images that it was computed from.
    measured = b_value and (types & _TRACE or "ORIGINAL" in types)
    if spelled or ("ADC" in words and not measured):
        return Verdict(Sequence.ADC, "ADC", f"description {quoted(facts)}; image type says nothing of ADC")
    return _weighted(facts, types, words, b_value)


def _weighted(facts: Facts, types: set[str], words: set[str], b_value: float | None) -> Verdict | None:
    stated = types & (_TRACE | {"DIFFUSION"}) or facts.get("AcquisitionContrast") == "DIFFUSION"
    named = _named(facts)
    kinds = scanning(facts)
    if b_value is not None and b_value < LOWEST_B:
        # GE writes b = 0 on images of every kind.
        spin_epi = "EP" in kinds and "GR" not in kinds
        if b_value > 0 or stated or spin_epi or (named and not milliseconds(facts, "InversionTime")):
            return Verdict(None, "b = 0 image", f"b-value {b_value:g}: without diffusion weighting")
        return None
    combined = (types | words) & _COMBINED or _is_isotropic(facts)
    if is_secondary(facts) and not (combined or _B_ALONE.match(text_of(facts, "SeriesDescription"))):
        return None
    if b_value is not None:
        against = ("description says ADC",) if "ADC" in words else ()
        return Verdict(Sequence.DWI, "DWI", f"b-value {b_value:g} s/mm²{_direction(facts)}", against)
    if stated:
        kind = sorted(types & (_TRACE | {"DIFFUSION"}))
        return Verdict(Sequence.DWI, "DWI", f"image type {kind[0] if kind else 'DIFFUSION'}, no b-value")
    if named and ("EP" in kinds or not kinds):
        return Verdict(Sequence.DWI, "DWI", f"description {quoted(facts)}; no b-value in the header")
    return None


def _named(facts: Facts) -> bool:
    """Tell whether the name says diffusion; without one the protocol, which on GE is that of the whole examination."""
    name = "SeriesDescription" if facts.get("SeriesDescription") else "ProtocolName"
    return bool(_WORDS.search(text_of(facts, name, "SequenceName")))


def _spelled_out(facts: Facts) -> str:
    text = text_of(facts, "SeriesDescription")
    return next((what for what, pattern in _SPELLED_OUT.items() if re.search(pattern, text)), "")


def _is_isotropic(facts: Facts) -> bool:
    return facts.get("DiffusionDirectionality") == "ISOTROPIC"


def _direction(facts: Facts) -> str:
    if image_type(facts) & _TRACE or _is_isotropic(facts):
        return ", trace"
    stated = facts.get("DiffusionDirectionality") == "DIRECTIONAL"
    return ", one direction" if stated or facts.get("DiffusionGradientOrientation") else ""
