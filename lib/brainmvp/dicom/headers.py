"""The facts of one slice, read from a DICOM header: plain values by DICOM keyword.

Only the keywords listed here are kept, and none of them names a patient: what is not kept cannot leak.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.tag import BaseTag, Tag

KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "SeriesNumber", "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "ImageType",
    "ConversionType", "SamplesPerPixel", "BodyPartExamined", "ContrastBolusAgent", "ScanningSequence",
    "SequenceVariant", "EchoPulseSequence", "AcquisitionContrast", "ComplexImageComponent", "AngioFlag",
    "TimeOfFlightContrast",
    "RepetitionTime", "EchoTime", "EchoNumbers", "InversionTime", "DiffusionBValue", "DiffusionDirectionality",
    "DiffusionGradientOrientation", "AcquisitionNumber", "AcquisitionTime", "TemporalPositionIdentifier",
    "TriggerTime", "InstanceNumber", "ImagesInAcquisition", "Rows", "Columns", "PixelSpacing", "SliceThickness",
    "ImageOrientationPatient", "ImagePositionPatient",
)  # fmt: skip
_SUFFIXES = (".dcm", ".ima")
_DIRECTORY = "DICOMDIR"  # the table of contents of a CD: DICOM, but no image (PS3.10)
_TAGS = {keyword: Tag(keyword) for keyword in KEYWORDS}
# What a value has to be; all other keywords are texts. A damaged header holds anything anywhere.
_VECTORS = {
    "PixelSpacing": 2, "ImagePositionPatient": 3, "ImageOrientationPatient": 6, "DiffusionGradientOrientation": 3,
}  # fmt: skip
_NUMBERS = (
    "SamplesPerPixel", "SeriesNumber", "RepetitionTime", "EchoTime", "InversionTime", "DiffusionBValue",
    "AcquisitionNumber", "TemporalPositionIdentifier", "TriggerTime", "InstanceNumber", "ImagesInAcquisition",
    "Rows", "Columns", "SliceThickness",
)  # fmt: skip
_LISTS = ("ImageType", "ScanningSequence", "SequenceVariant", "EchoNumbers")
# Where vendors keep the b-value, from their DICOM conformance statements.
_SIEMENS_B, _GE_B, _PHILIPS_B = Tag(0x0019100C), Tag(0x00431039), Tag(0x20011003)
# GE adds 10^9 to a b-value that stands for itself and not for the series: it is what remains.
_GE_MODULUS = 1_000_000
# Siemens' name of the pulse sequence keeps it where private elements were taken away; "ep_b0_1000" is a map of both.
_B_IN_NAME = re.compile(r"(?:ep|re)_b(\d+)(?![\d_])")

_ENHANCED = {  # functional group -> what it holds, under the name that single-frame images have for it
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelMeasuresSequence": {"PixelSpacing": "PixelSpacing", "SliceThickness": "SliceThickness"},
    "MRTimingAndRelatedParametersSequence": {"RepetitionTime": "RepetitionTime"},
    "MREchoSequence": {"EffectiveEchoTime": "EchoTime"},
    "MRModifierSequence": {"InversionTimes": "InversionTime"},
    "MRDiffusionSequence": {
        "DiffusionBValue": "DiffusionBValue",
        "DiffusionDirectionality": "DiffusionDirectionality",
    },
    "MRImageFrameTypeSequence": {
        "FrameType": "ImageType",
        "AcquisitionContrast": "AcquisitionContrast",
        "ComplexImageComponent": "ComplexImageComponent",
    },
    "FrameContentSequence": {
        "TemporalPositionIndex": "TemporalPositionIdentifier",
        "FrameAcquisitionNumber": "AcquisitionNumber",
    },
}


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or one frame of a file (`frame` counts from 0; None where the file is one slice).

    facts: plain values by DICOM keyword; what the header leaves empty is absent.
    """

    path: Path
    frame: int | None
    facts: Mapping[str, Any]


def read_slices(path: Path) -> list[Slice]:
    """Return the slices of a DICOM file; none if it is no DICOM file, is damaged or holds no image."""
    try:
        dataset = _read(path)
        return [] if dataset is None else list(slices_of(dataset, path))
    except Exception:  # pydicom raises whatever it likes about a damaged file
        return []


def is_lost(path: Path) -> bool:
    """Tell whether a file that gave no slices was to: it has DICOM's mark or ending, or a broken copy left it empty."""
    if path.name.upper() == _DIRECTORY:
        return False
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return True
    return start[128:] == b"DICM" or path.suffix.lower() in _SUFFIXES or not start.strip(b"\0")


def slices_of(dataset: Dataset, path: Path) -> Iterator[Slice]:
    """Yield the slices of a header that was read, such as a web archive's metadata."""
    facts = _plain_facts(dataset)
    if "SeriesInstanceUID" not in facts:
        return
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        yield Slice(path, None, facts)
        return
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for index, frame in enumerate(frames):
        yield Slice(path, index, facts | {"InstanceNumber": index + 1} | _frame_facts(shared, frame))


def _read(path: Path) -> Dataset | None:
    with path.open("rb") as file:
        has_preamble = file.read(132)[128:] == b"DICM"
    # Files from before DICOM part 10 begin without the preamble; then only the name says what they are.
    if not has_preamble and path.suffix.lower() not in _SUFFIXES:
        return None
    return dcmread(path, stop_before_pixels=True, force=not has_preamble)


def _plain_facts(dataset: Dataset) -> dict[str, Any]:
    present = {keyword: tag for keyword, tag in _TAGS.items() if tag in dataset}
    facts = {keyword: _plain(_value(dataset, tag)) for keyword, tag in present.items()}
    facts["SequenceName"] = _first(facts.get("SequenceName"), facts.get("PulseSequenceName"))
    b_values = facts.get("DiffusionBValue"), *_private_b_values(dataset)
    facts["DiffusionBValue"] = _first(*b_values, _b_in_name(facts["SequenceName"]))
    agents = dataset.get("ContrastBolusAgentSequence") or []
    meanings = [str(agent.get("CodeMeaning", "")) for agent in agents]
    facts["ContrastBolusAgent"] = _first(facts.get("ContrastBolusAgent"), ", ".join(filter(None, meanings)))
    if facts.get("TimeOfFlightContrast") == "YES":
        facts["AngioFlag"] = "Y"
    if not facts.get("ScanningSequence"):
        kinds = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": ("SE", "GR")}
        facts["ScanningSequence"] = kinds.get(facts.get("EchoPulseSequence"))
    return _sound(facts)


def _frame_facts(shared: Dataset, frame: Dataset) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for group, names in _ENHANCED.items():
        for source in (shared, frame):
            for item in list(source.get(group) or [])[:1]:
                for theirs, ours in names.items():
                    value = _plain(_value(item, Tag(theirs))) if theirs in item else None
                    if theirs == "InversionTimes" and isinstance(value, tuple):
                        value = _first(*value)
                    facts |= _sound({ours: value})
    return facts


def _sound(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that are there and of the kind that their keyword has."""
    known = {keyword: _of_its_kind(keyword, value) for keyword, value in facts.items()}
    return {keyword: value for keyword, value in known.items() if value not in (None, "", ())}


def _of_its_kind(keyword: str, value: Any) -> Any:
    if value is None or keyword in _LISTS:
        return value
    if keyword in _NUMBERS:
        return value if _is_number(value) else None
    if length := _VECTORS.get(keyword):
        good = isinstance(value, tuple) and len(value) == length and all(map(_is_number, value))
        return value if good else None
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _private_b_values(dataset: Dataset) -> Iterator[float | None]:
    yield _number(dataset, _SIEMENS_B)
    value = _number(dataset, _GE_B)
    yield None if value is None else value % _GE_MODULUS
    yield _number(dataset, _PHILIPS_B)


def _b_in_name(name: Any) -> float | None:
    found = _B_IN_NAME.search(str(name))
    return float(found.group(1)) if found else None


def _number(dataset: Dataset, tag: BaseTag) -> float | None:
    """Return the first number of a private element, whose type a reader without a dictionary cannot know."""
    value = _value(dataset, tag) if tag in dataset else None
    if isinstance(value, bytes):
        if tag == _PHILIPS_B and len(value) == 4:
            return float(struct.unpack("<f", value)[0])
        value = value.decode("ascii", "ignore").split("\\")
    first = value[0] if isinstance(value, (list, tuple)) or hasattr(value, "append") else value
    try:
        return float(first)
    except (TypeError, ValueError):
        return None


def _value(dataset: Dataset, tag: BaseTag) -> Any:
    try:
        return dataset[tag].value
    except (ValueError, TypeError, NotImplementedError):
        return None  # not what the element's type allows: as good as empty


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bytes):
        return None
    if isinstance(value, str):
        return str(value).strip()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) or hasattr(value, "is_integer"):
        return float(value)
    if hasattr(value, "__iter__"):
        items = tuple(_plain(item) for item in value)
        return None if None in items else items
    return str(value).strip()


def _first(*values: Any) -> Any:
    return next((value for value in values if value not in (None, "", ())), None)
