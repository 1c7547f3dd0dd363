"""What is no plain image of the head: other objects, scans that help the scanner, maps, other parts of the body.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re

from brainmvp.dicom.facts import Facts, image_type, listed, quoted, text_of, words_of
from brainmvp.dicom.verdict import Verdict
from brainmvp.words import folded

_LOCALISER = re.compile(
    r"\b(loc|lo[ck]ali[sz]\w*|scout|survey|aahscout|pilot|reperage|ue?bersicht|topogram\w*|"
    r"3[- ]?pl(ane|ans)?|plan scan|smartbrain)\b"
)
_REFORMAT = {
    "MPR", "REFORMATTED", "CSA MPR", "CSA 3D", "MIP", "MINIP", "PROJECTION IMAGE", "THICK MPR", "VRT",
}  # fmt: skip
_SCREEN = {"SCREEN SAVE", "SCREENSHOT", "SCREEN", "CAPTURE"}
_PHASE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
# Maps that a scanner or workstation computes, by the word that its image type or description has for them.
MAPS = {
    "exponential ADC map": {"EADC", "EXP", "EXPONENTIAL", "ADC_EXP"},
    "fractional anisotropy map": {"FA", "FRACT_ANISO", "FRACTIONAL_ANISOTROPY"},
    "diffusion tensor map": {"TENSOR", "TENSOR_B0", "VOLUME_RATIO", "MD", "RD", "COLFA"},
    "perfusion map": {
        "CBF", "RCBF", "CBV", "RCBV", "MTT", "TTP", "TMAX", "RELCBF", "RELCBV", "RELMTT", "PBP",
    },
    "perfusion series": {"PERFUSION", "PERF", "DSC", "DCE", "ASL", "PWI"},
    "susceptibility-weighted image": {"SWI", "SWIP", "SSWIP", "SWAN", "VENBOLD", "MNIP", "QSM"},
    "subtraction": {
        "SUBTRACTION", "SUB", "SUBTRACT", "SUBTRACTED", "SUBTRAKTION", "SOUSTRACTION", "SUSTRACCION", "SOTTRAZIONE",
        "SUBTRACAO",
    },
    "functional series": {"FMRI", "BOLD", "T_TEST", "ASL_M0"},
    "spectroscopy": {"SPECTROSCOPY", "SPECTRO", "MRS"},
    "projection": {"MIP", "MINIP", "MPR"},
}  # fmt: skip
# Words of these that a description of what was measured has, too: an MPRAGE, the flip angle.
_MEASURED_TOO = {"MPR", "FA", "MD", "RD"}
# Scans with the times of a plain image that are none, by how scanners and protocols name them.
_OTHER_SCANS = {
    "calibration scan": r"\bcal(ib(ration)?)?\b|\bprescan\b|\bshim\b|\b(coil|sense) ?ref|\bref(erence)? scan\b",
    "field map": r"\bfield ?map|\bb[01] ?map",
    "venogram or flow image": r"\bmrv\b|venogra|\b[23]d pc\b|\bpc ?mra\b|phase[ -]contrast|\bvenc\b",
    "steady-state image": r"\bfiesta|\bciss\b|\btru ?fi(sp)?\b|\bb-?ffe\b|^\*?(ci3d|tfi[23]d)",
    "inversion image of an MP2RAGE scan": r"\binv ?[12]\b",
    "relaxation map": r"\b(t1|t2|t2\*|r2\*?) ?map|mp2rage.* t1 images\b",
    "double inversion recovery": r"\bdir\b|\bdouble[ -]i(r\b|nversion)",
    "fat image of a Dixon scan": r"^fat ?:|\bdixon\b.* f$",
}
_OTHER_TYPES = {
    "relaxation map": {"T1 MAP", "T2 MAP", "T2_STAR MAP", "T2STAR MAP", "R2 MAP", "R2_STAR MAP"},
    "fat image of a Dixon scan": {"FAT", "F"},
}
_COARSEST_MM = 3.0  # in plane; what is coarser is scanned for the scanner's own use
_ELSEWHERE = re.compile(
    r"\b(neck|spine|[ctl][- ]?spine|cervical|thoracic|lumbar|hws|bws|lws|carotids?|knee|shoulder|hip|abdomen|"
    r"pelvis|prostate|liver|heart|cardiac|breast|chest)\b"
)
_OTHER_PARTS = re.compile(
    r"NECK|SPINE|CHEST|ABDOMEN|PELVIS|KNEE|SHOULDER|HIP|BREAST|HEART|LIVER|PROSTATE|EXTREMITY"
)
_HEAD = re.compile(r"HEAD|BRAIN|SKULL|CRANI|SCHAEDEL|CEREB")


def other_object(facts: Facts) -> Verdict | None:
    """Return a verdict for what is no image of an MRI scanner."""
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


def localiser(facts: Facts) -> Verdict | None:
    """Return a verdict for a localiser, and for what is as coarse."""
    if "LOCALIZER" in image_type(facts):
        return Verdict(None, "localiser", "image type LOCALIZER")
    if _LOCALISER.search(_spaced(facts, "SeriesDescription", "ProtocolName")):
        return Verdict(None, "localiser", f"description {quoted(facts)}")
    if (edge := max(facts.get("PixelSpacing") or (0.0,))) > _COARSEST_MM:
        return Verdict(None, "coarse image", f"pixels of {edge:.3g} mm")
    return None


def tiled(facts: Facts) -> Verdict | None:
    """Return a verdict for slices that are tiles of one picture."""
    if "MOSAIC" in image_type(facts):
        return Verdict(None, "mosaic", "image type MOSAIC: the slices are tiles of one picture")
    return None


def other_scan(facts: Facts) -> Verdict | None:
    """Return a verdict for a scan that its times alone would take for a plain image."""
    named = "SeriesDescription" if facts.get("SeriesDescription") else "ProtocolName"
    texts = (_spaced(facts, named), _spaced(facts, "SequenceName"))
    types = set(listed(facts.get("ImageType"))[2:])
    for what, pattern in _OTHER_SCANS.items():
        if found := sorted(types & _OTHER_TYPES.get(what, set())):
            return Verdict(None, what, f"image type {found[0]}")
        if re.search(pattern, texts[0]):
            return Verdict(None, what, f"description {quoted(facts)}")
        if re.search(pattern, texts[1]):
            return Verdict(None, what, f"sequence name “{texts[1]}”")
    return None


def computed(facts: Facts) -> Verdict | None:
    """Return a verdict for what was computed from other images, and for what is not the magnitude."""
    stated = listed(facts.get("ImageType"))
    types, words = set(stated), map_words(facts)
    if found := sorted(types & _REFORMAT):
        return Verdict(None, "derived reformat", f"image type {found[0]}")
    component = facts.get("ComplexImageComponent") in ("PHASE", "REAL", "IMAGINARY")
    if component or set(stated[2:4]) & _PHASE:
        return Verdict(None, "phase image", "image type: not the magnitude")
    for what, names in MAPS.items():
        if found := sorted((types & names) or (words & names)):
            return Verdict(None, what, where(found[0], types))
    if is_secondary(facts):
        return Verdict(None, "derived image", "image type DERIVED\\SECONDARY: computed from another series")
    return None


def elsewhere(facts: Facts) -> Verdict | None:
    """Return a verdict for a scan of another part of the body."""
    part = str(facts.get("BodyPartExamined", "")).upper()
    if _OTHER_PARTS.search(part) and not _HEAD.search(part):
        return Verdict(None, f"{part.lower()}, not the head", f"body part {part}")
    text = _spaced(facts, "SeriesDescription")
    if (found := _ELSEWHERE.search(text)) and not _HEAD.search(text.upper()):
        return Verdict(None, f"{found.group()}, not the head", f"description {quoted(facts)}")
    return None


def map_words(facts: Facts) -> set[str]:
    """Return the words of the description, in capitals, that can name a map or a projection."""
    words = words_of(facts)
    return words if "DERIVED" in image_type(facts) else words - _MEASURED_TOO


def is_secondary(facts: Facts) -> bool:
    """Tell whether the image type says that an image was computed from another series."""
    return listed(facts.get("ImageType"))[:2] == ["DERIVED", "SECONDARY"]


def where(word: str, types: set[str]) -> str:
    """Say where a word for what an image is stands."""
    return f"image type {word}" if word in types else f"description says {word}"


def _spaced(facts: Facts, *keywords: str) -> str:
    """Return elements one after another as words, folded."""
    return folded(text_of(facts, *keywords)).replace("_", " ").strip()
