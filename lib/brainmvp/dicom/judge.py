"""What each volume of a study is: by its own header, and beside the other volumes of its series."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from brainmvp.dicom.recognise import recognise
from brainmvp.dicom.series import DicomImage
from brainmvp.dicom.verdict import Verdict
from brainmvp.sequences import Sequence

UNCLEAR = "DWI or b = 0 image"

Judged = list[tuple[DicomImage, Verdict]]


def judge(images: Iterable[DicomImage]) -> Judged:
    """Return every volume with what it is, in their order.

    Of a series with several volumes, none is DWI if no b-value tells which of them are weighted, and only the last
    phase is T1CE: contrast medium comes during the first ones. That one has a note.
    """
    judged = [(image, recognise(image.facts)) for image in images]
    for members in _together(judged, Sequence.DWI, lambda image: image.series_uid):
        if not any("DiffusionBValue" in judged[index][0].facts for index in members):
            for index in members:
                why = f"{len(members)} volumes in the series, and no b-value in the header"
                judged[index] = judged[index][0], Verdict(None, UNCLEAR, why)
    for members in _together(judged, Sequence.T1CE, _scanned_alike):
        last = max(members, key=lambda index: _moment(judged[index][0]))
        for index in members:
            why = f"{len(members)} phases in the series"
            judged[index] = judged[index][0], Verdict(None, "earlier phase of a dynamic series", why)
        image = judged[last][0]
        note = f"the last of {len(members)} phases of a dynamic series"
        judged[last] = replace(image, notes=(*image.notes, note)), recognise(image.facts)
    return judged


def _together(judged: Judged, sequence: Sequence, key: Callable[[DicomImage], Any]) -> list[list[int]]:
    """Return the places of the volumes that show a sequence and have one key, where there are several."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, (image, verdict) in enumerate(judged):
        if verdict.sequence is sequence:
            groups[key(image)].append(index)
    return [members for members in groups.values() if len(members) > 1]


def _scanned_alike(image: DicomImage) -> tuple[Any, ...]:
    facts = image.facts
    place = tuple(image.affine.round(1).ravel())
    return image.series_uid, str(facts.get("ImageType")), facts.get("EchoTime"), image.shape, place


def _moment(image: DicomImage) -> tuple[Any, ...]:
    """Return what orders the phases of a series in time."""
    numbers = ("TemporalPositionIdentifier", "AcquisitionNumber")
    stated = [image.facts.get(keyword, 0) for keyword in numbers]
    time = str(image.facts.get("AcquisitionTime", ""))
    return (*stated, time, image.facts.get("TriggerTime", 0), image.facts.get("InstanceNumber", 0))
