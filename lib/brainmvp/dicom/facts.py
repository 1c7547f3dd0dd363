"""What is read off the facts of a header: plain values by DICOM keyword, as `headers.py` gives them.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from brainmvp.words import folded

Facts = Mapping[str, Any]


def scanning(facts: Facts) -> set[str]:
    """Return the kinds of the pulse sequence, such as SE, GR, IR and EP."""
    return set(listed(facts.get("ScanningSequence")))


def image_type(facts: Facts) -> set[str]:
    """Return the values of the image type."""
    return set(listed(facts.get("ImageType")))


def listed(value: Any) -> list[str]:
    """Return an element of any number of values as texts in capitals."""
    values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return [str(item).upper().strip() for item in values]


def text_of(facts: Facts, *keywords: str) -> str:
    """Return elements one after another, in small letters."""
    return " ".join(str(facts.get(keyword, "")) for keyword in keywords).lower()


def words_of(facts: Facts) -> set[str]:
    """Return the words of the description, in capitals without accents."""
    return set(re.split(r"[^A-Z0-9*]+", folded(text_of(facts, "SeriesDescription")).upper()))


def milliseconds(facts: Facts, keyword: str) -> float | None:
    """Return a time, or None where the header has none above 0."""
    value = facts.get(keyword)
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def quoted(facts: Facts) -> str:
    """Return the description, in quotation marks."""
    return f"“{facts.get('SeriesDescription', facts.get('ProtocolName', ''))}”"
