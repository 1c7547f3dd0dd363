"""Which MRI sequence a series is, and why: from the facts of its header before any name.

The facts are plain values by DICOM keyword (`headers.py` reads them from files; a DICOM database or a web archive can
give them as well). This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from brainmvp.dicom.acquisition import Acquisition, acquisition_of, no_clue
from brainmvp.dicom.facts import Facts, image_type, listed, quoted, scanning, text_of, words_of
from brainmvp.sequences import Sequence, sequence_of, states_contrast


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
    "MPR", "REFORMATTED", "CSA MPR", "CSA 3D", "MIP", "MINIP", "PROJECTION IMAGE", "THICK MPR", "VRT",
}  # fmt: skip
_SCREEN = {"SCREEN SAVE", "SCREENSHOT", "SCREEN", "CAPTURE"}
_PHASE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
# Maps that a scanner or workstation computes, by the word that its image type or description has for them.
_MAPS = {
    "exponential ADC map": {"EADC", "EXP", "EXPONENTIAL", "ADC_EXP"},
    "fractional anisotropy map": {"FA", "FRACT_ANISO", "FRACTIONAL_ANISOTROPY"},
    "diffusion tensor map": {"TENSOR", "TENSOR_B0", "VOLUME_RATIO", "MD", "RD", "COLFA"},
    "perfusion map": {
        "CBF", "RCBF", "CBV", "RCBV", "MTT", "TTP", "TMAX", "RELCBF", "RELCBV", "RELMTT", "PBP",
    },
    "perfusion series": {"PERFUSION", "DSC", "DCE", "ASL", "PWI"},
    "susceptibility-weighted image": {"SWI", "SWAN", "VENBOLD", "MNIP", "QSM"},
    "subtraction": {"SUBTRACTION", "SUB", "SUBTRACT"},
    "functional series": {"FMRI", "BOLD", "T_TEST", "ASL_M0"},
    "spectroscopy": {"SPECTROSCOPY", "SPECTRO", "MRS"},
    "projection": {"MIP", "MINIP", "MPR"},
}  # fmt: skip
_ELSEWHERE = re.compile(
    r"\b(neck|spine|[ctl][- ]?spine|cervical|thoracic|lumbar|hws|bws|lws|carotids?|knee|shoulder|hip|abdomen|"
    r"pelvis|prostate|liver|heart|cardiac|breast|chest)\b"
)
_OTHER_PARTS = re.compile(
    r"NECK|SPINE|CHEST|ABDOMEN|PELVIS|KNEE|SHOULDER|HIP|BREAST|HEART|LIVER|PROSTATE|EXTREMITY"
)
_HEAD = re.compile(r"HEAD|BRAIN|SKULL|CRANI|SCHAEDEL|CEREB")

_NO_AGENT = {"", "NO", "NONE", "N", "0", "OHNE", "KEIN", "NIL", "N/A", "NO CONTRAST", "WITHOUT"}
# The name of a whole examination, "W/WO CONTRAST", on one of its series: it says nothing of this one.
_BOTH = re.compile(r"(?<![a-z0-9])w(ith)?[^a-z0-9]+(and[^a-z0-9]+)?w(o|/o|ithout)(?![a-z0-9])")
_DIFFUSION_WORDS = re.compile(r"diff|dwi|trace|resolve|\bdti|\bb ?= ?\d{3}|ep_b\d")
_FSE_FLAIR = re.compile(r"dark ?fluid|\btirm\b|spcir|tir2d|flair")
# Siemens' codes of pulse sequences: turbo flash and MPRAGE, inversion recovery of spin echoes, time of flight.
_SEQUENCE_CODES = (
    (r"tfl3d|mprage|bravo|fspgr", Sequence.T1),
    (r"tir2d|spcir", Sequence.FLAIR),
    (r"tof|fi3d", Sequence.MRA),
)


def recognise(facts: Facts) -> Verdict:
    """Return what a series is; facts: values by DICOM keyword, times in ms, b-value in s/mm².

    >>> recognise({"Modality": "MR", "RepetitionTime": 9000, "EchoTime": 90, "InversionTime": 2500}).what
    'FLAIR'
    """
    for look in (_other_object, _localiser, _tiled, _diffusion, _computed, _elsewhere):
        verdict = look(facts)
        if verdict:
            return verdict
    acquisition = acquisition_of(facts)
    if acquisition and not acquisition.possible:
        return Verdict(None, acquisition.kind, acquisition.why)
    named, source = _name(facts)
    if acquisition is None:
        if named is None:
            return Verdict(None, "unknown", no_clue(facts))
        acquisition = Acquisition((_plain(named),), f"{source}; {no_clue(facts)}")
        source = ""
    return _combined(facts, acquisition, named, source)


# What is no plain image of the head


def _other_object(facts: Facts) -> Verdict | None:
    modality = str(facts.get("Modality", "MR")).upper()
    kinds = {"SEG": "segmentation", "SR": "report", "PR": "presentation state", "KO": "key object note"}
    if modality != "MR":
        what = kinds.get(modality, f"{modality} series")
        return Verdict(None, what, f"modality {modality}, not MR")
    types = image_type(facts)
    is_capture = str(facts.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.7")
    if is_capture or types & _SCREEN or facts.get("ConversionType"):
        return Verdict(None, "screen capture", "secondary capture, not acquired by the scanner")
    if int(facts.get("SamplesPerPixel", 1)) > 1:
        return Verdict(None, "colour image", "three values per pixel")
    return None


def _localiser(facts: Facts) -> Verdict | None:
    if "LOCALIZER" in image_type(facts):
        return Verdict(None, "localiser", "image type LOCALIZER")
    text = text_of(facts, "SeriesDescription", "ProtocolName").replace("_", " ")
    if _LOCALISER.search(text):
        return Verdict(None, "localiser", f"description {quoted(facts)}")
    return None


def _tiled(facts: Facts) -> Verdict | None:
    if "MOSAIC" in image_type(facts):
        return Verdict(None, "mosaic", "image type MOSAIC: the slices are tiles of one picture")
    return None


def _diffusion(facts: Facts) -> Verdict | None:
    """Return a verdict for what belongs to a diffusion measurement: its ADC, its weighted and its other images."""
    types, words = image_type(facts), words_of(facts)
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
        return Verdict(Sequence.ADC, "ADC", f"description {quoted(facts)}; image type says nothing of ADC")
    weighted = types & {"TRACEW", "TRACE", "DIFFUSION"} or facts.get("AcquisitionContrast") == "DIFFUSION"
    named = _DIFFUSION_WORDS.search(text_of(facts, "SeriesDescription", "ProtocolName", "SequenceName"))
    if b_value is not None and (b_value > 0 or weighted or named):
        if b_value < 200:
            return Verdict(None, "b = 0 image", f"b-value {b_value:g}: without diffusion weighting")
        direction = _direction(facts)
        against = ("description says ADC",) if "ADC" in words else ()
        return Verdict(Sequence.DWI, "DWI", f"b-value {b_value:g} s/mm²{direction}", against)
    if weighted:
        kind = sorted(types & {"TRACEW", "TRACE", "DIFFUSION"})
        return Verdict(Sequence.DWI, "DWI", f"image type {kind[0] if kind else 'DIFFUSION'}, no b-value")
    if named and ("EP" in scanning(facts) or not facts.get("ScanningSequence")):
        return Verdict(Sequence.DWI, "DWI", f"description {quoted(facts)}; no b-value in the header")
    return None


def _computed(facts: Facts) -> Verdict | None:
    stated = listed(facts.get("ImageType"))
    types, words = set(stated), words_of(facts)
    if found := sorted(types & _REFORMAT):
        return Verdict(None, "derived reformat", f"image type {found[0]}")
    component = facts.get("ComplexImageComponent") in ("PHASE", "REAL", "IMAGINARY")
    if component or set(stated[2:4]) & _PHASE:
        return Verdict(None, "phase image", "image type: not the magnitude")
    for what, names in _MAPS.items():
        if found := sorted((types & names) or (words & names)):
            return Verdict(None, what, _where(found[0], types))
    if stated[:2] == ["DERIVED", "SECONDARY"]:
        return Verdict(None, "derived image", "image type DERIVED\\SECONDARY: computed from another series")
    return None


def _elsewhere(facts: Facts) -> Verdict | None:
    part = str(facts.get("BodyPartExamined", "")).upper()
    if _OTHER_PARTS.search(part) and not _HEAD.search(part):
        return Verdict(None, f"{part.lower()}, not the head", f"body part {part}")
    text = text_of(facts, "SeriesDescription").replace("_", " ")
    if (found := _ELSEWHERE.search(text)) and not _HEAD.search(text.upper()):
        return Verdict(None, f"{found.group()}, not the head", f"description {quoted(facts)}")
    return None


def _combined(facts: Facts, acquisition: Acquisition, named: Sequence | None, source: str) -> Verdict:
    """Return the verdict of the acquisition, made precise by the name where the acquisition allows it."""
    sequence, why, against = acquisition.possible[0], acquisition.why, []
    if named and _plain(named) in acquisition.possible:
        if _plain(named) is not sequence:
            why = f"{why}; {source}"
        sequence = _plain(named)
    elif named:
        against.append(f"{source} says {named}")
    if sequence is not Sequence.T1:
        return Verdict(sequence, str(sequence), why, tuple(against))
    return _with_or_without_contrast(facts, named, why, against)


def _with_or_without_contrast(facts: Facts, named: Sequence | None, why: str, against: list[str]) -> Verdict:
    """Return T1 or T1CE: by the contrast agent in the header, else by words."""
    agent = str(facts.get("ContrastBolusAgent", "")).strip()
    has_agent = agent.upper() not in _NO_AGENT
    stated = states_contrast(str(facts.get("SeriesDescription", "")))
    says_with, says_without = stated or named is Sequence.T1CE, stated is False
    if _BOTH.search(text_of(facts, "SeriesDescription")):
        says_with, says_without = False, False
        if not has_agent:
            against.append(
                f"description {quoted(facts)} says with and without, and the header names no agent"
            )
    if has_agent:
        if says_without:
            against.append(f"contrast agent in the header, but description {quoted(facts)}")
        return Verdict(Sequence.T1CE, "T1CE", f"{why}; contrast agent", tuple(against))
    if says_with and not says_without:
        if agent:
            against.append(f"no contrast agent in the header, but description {quoted(facts)}")
            return Verdict(Sequence.T1, "T1", why, tuple(against))
        return Verdict(
            Sequence.T1CE, "T1CE", f"{why}; contrast by description {quoted(facts)}", tuple(against)
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


def _plain(sequence: Sequence) -> Sequence:
    return Sequence.T1 if sequence is Sequence.T1CE else sequence


def _where(word: str, types: set[str]) -> str:
    return f"image type {word}" if word in types else f"description says {word}"


def _direction(facts: Facts) -> str:
    types = image_type(facts)
    if types & {"TRACEW", "TRACE"} or facts.get("DiffusionDirectionality") == "ISOTROPIC":
        return ", trace"
    stated = facts.get("DiffusionDirectionality") == "DIRECTIONAL"
    return ", one direction" if stated or facts.get("DiffusionGradientOrientation") else ""
