"""Which MRI sequence a series is, and why: from the facts of its header before any name.

The facts are plain values by DICOM keyword (`headers.py` reads them from files; a DICOM database or a web archive can
give them as well). This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brainmvp.sequences import Sequence, sequence_of

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What a series is.

    sequence: None where it is none that is used; what: the sequence's name, or the kind of thing it is instead
    ("localiser"); why: the facts that say so; contradictions: what in the header speaks against it.
    """

    sequence: Sequence | None
    what: str
    why: str
    contradictions: tuple[str, ...] = ()


_LOCALISER = re.compile(
    r"\b(loc|locali[sz]er|scout|survey|aahscout|pilot|3[- ]?plane|plan scan|smartbrain)\b"
)
_REFORMAT = {
    "MPR",
    "REFORMATTED",
    "CSA MPR",
    "CSA 3D",
    "MIP",
    "MINIP",
    "PROJECTION IMAGE",
    "THICK MPR",
    "VRT",
}
_SCREEN = {"SCREEN SAVE", "SCREENSHOT", "SCREEN", "CAPTURE"}
_PHASE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
# Maps that a scanner or workstation computes, by the word that its image type or description has for them.
_MAPS = {
    "exponential ADC map": {"EADC", "EXP", "EXPONENTIAL", "ADC_EXP"},
    "fractional anisotropy map": {"FA", "FRACT_ANISO", "FRACTIONAL_ANISOTROPY"},
    "diffusion tensor map": {"TENSOR", "TENSOR_B0", "VOLUME_RATIO", "MD", "RD", "COLFA"},
    "perfusion map": {
        "CBF",
        "RCBF",
        "CBV",
        "RCBV",
        "MTT",
        "TTP",
        "TMAX",
        "RELCBF",
        "RELCBV",
        "RELMTT",
        "PBP",
    },
    "perfusion series": {"PERFUSION", "DSC", "DCE", "ASL", "PWI"},
    "susceptibility-weighted image": {"SWI", "SWAN", "VENBOLD", "MNIP", "QSM"},
    "subtraction": {"SUBTRACTION", "SUB", "SUBTRACT"},
    "functional series": {"FMRI", "BOLD", "T_TEST", "ASL_M0"},
    "spectroscopy": {"SPECTROSCOPY", "SPECTRO", "MRS"},
    "projection": {"MIP", "MINIP", "MPR"},
}
_ELSEWHERE = re.compile(
    r"\b(neck|spine|[ctl][- ]?spine|cervical|thoracic|lumbar|hws|bws|lws|carotids?|knee|shoulder|hip|abdomen|"
    r"pelvis|prostate|liver|heart|cardiac|breast|chest)\b"
)
_OTHER_PARTS = re.compile(
    r"NECK|SPINE|CHEST|ABDOMEN|PELVIS|KNEE|SHOULDER|HIP|BREAST|HEART|LIVER|PROSTATE|EXTREMITY"
)
_HEAD = re.compile(r"HEAD|BRAIN|SKULL|CRANI|SCHAEDEL|CEREB")

_CONTRAST_WORDS = re.compile(r"\+ ?c\b|\bc ?\+|\b(post|gd|gad\w*|km|ce|contrast|dotarem|gadavist|prohance)\b")
_NO_CONTRAST_WORDS = re.compile(
    r"\b(pre|nativ|native|ohne|without|non[- ]?contrast|unenhanced|no contrast|w/o)\b"
)
_NO_AGENT = {"", "NO", "NONE", "N", "0", "OHNE", "KEIN", "NIL", "N/A", "NO CONTRAST", "WITHOUT"}
_DIFFUSION_WORDS = re.compile(r"diff|dwi|trace|resolve|\bdti|\bb ?= ?\d{3}|ep_b\d")
_FSE_FLAIR = re.compile(r"dark ?fluid|\btirm\b|spcir|tir2d|flair")

_ACQUISITION_CONTRAST = {  # DICOM PS3.3 C.8.13.3.1.1, value -> what it means here
    "FLUID_ATTENUATED": Sequence.FLAIR,
    "T1": Sequence.T1,
    "T2": Sequence.T2,
    "PROTON_DENSITY": Sequence.PD,
    "TOF": Sequence.MRA,
    "TIME_OF_FLIGHT": Sequence.MRA,
}


def recognise(facts: Facts) -> Verdict:
    """Return what a series is; facts: values by DICOM keyword, times in ms, b-value in s/mm².

    >>> recognise({"Modality": "MR", "RepetitionTime": 9000, "EchoTime": 90, "InversionTime": 2500}).what
    'FLAIR'
    """
    for look in (_other_object, _localiser, _tiled, _diffusion, _computed, _elsewhere):
        verdict = look(facts)
        if verdict:
            return verdict
    physics = _physics(facts)
    if physics and not physics.possible:
        return Verdict(None, physics.kind, physics.why)
    named, source = _name(facts)
    if physics is None:
        if named is None:
            return Verdict(None, "unknown", _no_clue(facts))
        physics = _Physics((_plain(named),), f"{source}; {_no_clue(facts)}")
        source = ""
    return _combined(facts, physics, named, source)


# What is no plain image of the head


def _other_object(facts: Facts) -> Verdict | None:
    modality = str(facts.get("Modality", "MR")).upper()
    kinds = {"SEG": "segmentation", "SR": "report", "PR": "presentation state", "KO": "key object note"}
    if modality != "MR":
        what = kinds.get(modality, f"{modality} series")
        return Verdict(None, what, f"modality {modality}, not MR")
    types = _image_type(facts)
    is_capture = str(facts.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.7")
    if is_capture or types & _SCREEN or facts.get("ConversionType"):
        return Verdict(None, "screen capture", "secondary capture, not acquired by the scanner")
    if int(facts.get("SamplesPerPixel", 1)) > 1:
        return Verdict(None, "colour image", "three values per pixel")
    return None


def _localiser(facts: Facts) -> Verdict | None:
    if "LOCALIZER" in _image_type(facts):
        return Verdict(None, "localiser", "image type LOCALIZER")
    text = _text(facts, "SeriesDescription", "ProtocolName").replace("_", " ")
    if _LOCALISER.search(text):
        return Verdict(None, "localiser", f"description {_quoted(facts)}")
    return None


def _tiled(facts: Facts) -> Verdict | None:
    if "MOSAIC" in _image_type(facts):
        return Verdict(None, "mosaic", "image type MOSAIC: the slices are tiles of one picture")
    return None


def _diffusion(facts: Facts) -> Verdict | None:
    """Return a verdict for what belongs to a diffusion measurement: its ADC, its weighted and its other images."""
    types, words = _image_type(facts), _words(facts)
    b_value = facts.get("DiffusionBValue")
    # The last words of a name tell the map; the header's image type is asked first.
    if types & _MAPS["exponential ADC map"] or {"EADC", "EXP"} & words:
        return Verdict(None, "exponential ADC map", _where("EADC", types))
    if types & {"ADC", "ADC_UNSPECIFIED"}:
        return Verdict(Sequence.ADC, "ADC", "image type ADC")
    for what in ("fractional anisotropy map", "diffusion tensor map"):
        if found := sorted((types & _MAPS[what]) or (words & _MAPS[what])):
            return Verdict(None, what, _where(found[0], types))
    if "ADC" in words and not b_value:
        return Verdict(Sequence.ADC, "ADC", f"description {_quoted(facts)}; image type says nothing of ADC")
    weighted = types & {"TRACEW", "TRACE", "DIFFUSION"} or facts.get("AcquisitionContrast") == "DIFFUSION"
    named = _DIFFUSION_WORDS.search(_text(facts, "SeriesDescription", "ProtocolName", "SequenceName"))
    if b_value is not None and (b_value > 0 or weighted or named):
        if b_value < 200:
            return Verdict(None, "b = 0 image", f"b-value {b_value:g}: without diffusion weighting")
        direction = _direction(facts)
        against = ("description says ADC",) if "ADC" in words else ()
        return Verdict(Sequence.DWI, "DWI", f"b-value {b_value:g} s/mm²{direction}", against)
    if weighted:
        kind = sorted(types & {"TRACEW", "TRACE", "DIFFUSION"})
        return Verdict(Sequence.DWI, "DWI", f"image type {kind[0] if kind else 'DIFFUSION'}, no b-value")
    if named and ("EP" in _scanning(facts) or not facts.get("ScanningSequence")):
        return Verdict(Sequence.DWI, "DWI", f"description {_quoted(facts)}; no b-value in the header")
    return None


def _computed(facts: Facts) -> Verdict | None:
    types, words = _image_type(facts), _words(facts)
    if found := sorted(types & _REFORMAT):
        return Verdict(None, "derived reformat", f"image type {found[0]}")
    component = facts.get("ComplexImageComponent") in ("PHASE", "REAL", "IMAGINARY")
    if component or set(_list(facts.get("ImageType"))[2:4]) & _PHASE:
        return Verdict(None, "phase image", "image type: not the magnitude")
    for what, names in _MAPS.items():
        if found := sorted((types & names) or (words & names)):
            return Verdict(None, what, _where(found[0], types))
    listed = _list(facts.get("ImageType"))
    if listed[:2] == ["DERIVED", "SECONDARY"]:
        return Verdict(None, "derived image", "image type DERIVED\\SECONDARY: computed from another series")
    return None


def _elsewhere(facts: Facts) -> Verdict | None:
    part = str(facts.get("BodyPartExamined", "")).upper()
    if _OTHER_PARTS.search(part) and not _HEAD.search(part):
        return Verdict(None, f"{part.lower()}, not the head", f"body part {part}")
    text = _text(facts, "SeriesDescription").replace("_", " ")
    if (found := _ELSEWHERE.search(text)) and not _HEAD.search(text.upper()):
        return Verdict(None, f"{found.group()}, not the head", f"description {_quoted(facts)}")
    return None


# What the timing says


@dataclass(frozen=True)
class _Physics:
    """possible: the sequences that the acquisition allows, the likeliest first; kind: what it is if there is none."""

    possible: tuple[Sequence, ...]
    why: str
    kind: str = ""


def _physics(facts: Facts) -> _Physics | None:
    """Return what the acquisition allows; None where the header does not tell.

    The bounds (ms) are the usual ones of brain protocols at 1.5 and 3 T: inversion near 2000 nulls fluid, near 150
    fat; below 1300 it deepens T1 contrast. Spin echoes are T1-weighted with a short TR and TE, T2-weighted with both
    long, PD-weighted between. Spoiled gradient echoes with a short TE are T1-weighted or time-of-flight.
    """
    stated = _ACQUISITION_CONTRAST.get(str(facts.get("AcquisitionContrast", "")))
    if stated:
        return _Physics((stated,), f"acquisition contrast {facts['AcquisitionContrast']}")
    tr, te, ti = (_milliseconds(facts, name) for name in ("RepetitionTime", "EchoTime", "InversionTime"))
    parts = [f"{n} {v:.4g}" for n, v in (("TR", tr), ("TE", te), ("TI", ti)) if v]
    why = f"{', '.join(parts)} ms"
    kinds = _scanning(facts)
    if facts.get("AngioFlag") == "Y":
        return _Physics((Sequence.MRA,), "angio flag")
    if tr is None or te is None:
        return None
    if ti and tr > 1500 and te >= 50 and ti >= 1400:
        return _Physics((Sequence.FLAIR,), why)
    if ti and 80 <= ti <= 350 and tr > 1500 and te > 10:
        return _Physics((), why, "fat-suppressed inversion recovery (STIR)")
    if ti and te <= 40 and ti < 1400:
        return _Physics((Sequence.T1,), why)
    if "IR" in kinds and tr >= 4000 and te >= 50:
        return _Physics((Sequence.FLAIR,), f"inversion recovery, {why}")
    if ("GR" in kinds and "SE" not in kinds) or (not kinds and tr < 50):
        if te >= 12:
            return _Physics((), f"gradient echo, {why}", "T2*-weighted image")
        return _Physics((Sequence.T1, Sequence.MRA), f"gradient echo, {why}")
    if tr < 1300 and te <= 35:
        return _Physics((Sequence.T1,), why)
    if tr >= 1800 and te >= 65:
        # Without an inversion time in the header, a FLAIR looks like this as well.
        return _Physics((Sequence.T2,) if ti else (Sequence.T2, Sequence.FLAIR), why)
    if tr >= 1500 and te <= 45:
        return _Physics((Sequence.PD,) if "SE" in kinds or tr > 3000 else (Sequence.PD, Sequence.T1), why)
    return None


def _combined(facts: Facts, physics: _Physics, named: Sequence | None, source: str) -> Verdict:
    """Return the verdict of the acquisition, made precise by the name where the acquisition allows it."""
    sequence, why, against = physics.possible[0], physics.why, []
    if named and _plain(named) in physics.possible:
        if _plain(named) is not sequence:
            why = f"{why}; {source}"
        sequence = _plain(named)
    elif named:
        against.append(f"{source} says {named}")
    if sequence is not Sequence.T1:
        return Verdict(sequence, str(sequence), why, tuple(against))
    agent = str(facts.get("ContrastBolusAgent", "")).strip()
    has_agent = agent.upper() not in _NO_AGENT
    text = _text(facts, "SeriesDescription").replace("_", " ")
    says_with = bool(_CONTRAST_WORDS.search(text)) or named is Sequence.T1CE
    says_without = bool(_NO_CONTRAST_WORDS.search(text))
    if has_agent:
        if says_without:
            against.append(f"contrast agent in the header, but description {_quoted(facts)}")
        return Verdict(Sequence.T1CE, "T1CE", f"{why}; contrast agent", tuple(against))
    if says_with and not says_without:
        if agent:
            against.append(f"no contrast agent in the header, but description {_quoted(facts)}")
            return Verdict(Sequence.T1, "T1", why, tuple(against))
        return Verdict(
            Sequence.T1CE, "T1CE", f"{why}; contrast by description {_quoted(facts)}", tuple(against)
        )
    return Verdict(Sequence.T1, "T1", f"{why}; no contrast agent", tuple(against))


def _name(facts: Facts) -> tuple[Sequence | None, str]:
    """Return the sequence that a description states, and which element states it."""
    for keyword, word in (("SeriesDescription", "description"), ("ProtocolName", "protocol")):
        text = str(facts.get(keyword, ""))
        found = Sequence.FLAIR if _FSE_FLAIR.search(text.lower()) else sequence_of(text)
        if found is Sequence.FLAIR and re.search(r"t1[ _-]?flair", text.lower()):
            found = Sequence.T1
        if found:
            return found, f"{word} “{text}”"
    code = str(facts.get("SequenceName", "")).lower()
    for pattern, sequence in _SEQUENCE_CODES:
        if re.search(pattern, code):
            return sequence, f"sequence name “{code}”"
    return None, ""


# Siemens' codes of pulse sequences: turbo flash and MPRAGE, inversion recovery of spin echoes, time of flight.
_SEQUENCE_CODES = (
    (r"tfl3d|mprage|bravo|fspgr", Sequence.T1),
    (r"tir2d|spcir", Sequence.FLAIR),
    (r"tof|fi3d", Sequence.MRA),
)


def _plain(sequence: Sequence) -> Sequence:
    return Sequence.T1 if sequence is Sequence.T1CE else sequence


def _no_clue(facts: Facts) -> str:
    known = [name for name in ("RepetitionTime", "EchoTime") if _milliseconds(facts, name)]
    if len(known) < 2:
        return "TR and TE are not in the header"
    tr, te = (_milliseconds(facts, name) for name in known)
    return f"TR {tr:.4g}, TE {te:.4g} ms fit no usual sequence"


def _milliseconds(facts: Facts, keyword: str) -> float | None:
    value = facts.get(keyword)
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _scanning(facts: Facts) -> set[str]:
    return set(_list(facts.get("ScanningSequence")))


def _image_type(facts: Facts) -> set[str]:
    return set(_list(facts.get("ImageType")))


def _list(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return [str(item).upper().strip() for item in values]


def _text(facts: Facts, *keywords: str) -> str:
    return " ".join(str(facts.get(keyword, "")) for keyword in keywords).lower()


def _words(facts: Facts) -> set[str]:
    return set(re.split(r"[^A-Z0-9*]+", _text(facts, "SeriesDescription").upper()))


def _where(word: str, types: set[str]) -> str:
    return f"image type {word}" if word in types else f"description says {word}"


def _direction(facts: Facts) -> str:
    types = _image_type(facts)
    if types & {"TRACEW", "TRACE"} or facts.get("DiffusionDirectionality") == "ISOTROPIC":
        return ", trace"
    one_way = facts.get("DiffusionDirectionality") == "DIRECTIONAL" or facts.get(
        "DiffusionGradientOrientation"
    )
    return ", one direction" if one_way else ""


def _quoted(facts: Facts) -> str:
    return f"“{facts.get('SeriesDescription', facts.get('ProtocolName', ''))}”"
