"""When and of whom a DICOM series was taken: read when it is asked for, for what `headers` keeps names no patient."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from pydicom import dcmread

if TYPE_CHECKING:
    from brainmvp.dicom.series import DicomImage

_KEYWORDS = ["StudyInstanceUID", "StudyDate", "PatientID"]


@dataclass(frozen=True)
class Taken:
    """The study's identifier, its day and the patient's number, as far as they are known."""

    study: str = ""
    day: date | None = None
    patient: str = ""


def taken(image: "DicomImage") -> Taken:
    """Return what the header of an image's first slice tells; of a file that cannot be read, nothing."""
    try:
        header = dcmread(image.planes[0].path, stop_before_pixels=True, force=True, specific_tags=_KEYWORDS)
        study, day, patient = (str(header.get(keyword) or "").strip() for keyword in _KEYWORDS)
    except Exception:  # pydicom raises whatever it likes about a damaged file
        return Taken()
    return Taken(study, _day(day), patient)


def _day(text: str) -> date | None:
    with suppress(ValueError):
        return datetime.strptime(text.replace(".", ""), "%Y%m%d").date()  # with dots until 1993
    return None
