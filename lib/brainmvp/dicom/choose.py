"""Which volume of a study stands for which sequence, when several could."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainmvp.dicom.facts import image_type
from brainmvp.dicom.judge import UNCLEAR, judge
from brainmvp.dicom.recognise import name_of, plain, recognise
from brainmvp.dicom.series import DicomImage
from brainmvp.dicom.verdict import Verdict
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence

RULE = (
    "Among several: a header without contradictions, then an original before a derived image, then (DWI) the trace "
    "with a b-value near 1000, then one whose name says so, then coverage of the head, then thin slices and small "
    "voxels, then the latest."
)
# What a head measures at most, and from what difference on one image covers more of it than another.
_HEAD_MM, _COVERAGE_STEP_MM = 160.0, 20.0
_EVEN_FINER = 0.9  # voxels of nine tenths are worth choosing; a rounding difference is not


@dataclass(frozen=True)
class SeriesEntry:
    """One line of a study's table: a volume, what it is, and what becomes of it.

    use: "used", "alternative" (of its sequence, but another one was chosen) or "left out"; reason: why.
    """

    image: DicomImage
    verdict: Verdict
    use: str
    reason: str
    volumes: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the line as JSON-ready values."""
        return {
            "series": self.image.number,
            "description": self.image.description,
            "volumes": self.volumes,
            "shape": list(self.image.shape),
            "spacing_mm": [round(float(edge), 3) for edge in self.image.spacing],
            "what": self.verdict.what,
            "why": self.verdict.why,
            "contradictions": list(self.verdict.contradictions),
            "use": self.use,
            "reason": self.reason,
            "notes": list(self.image.notes),
        }


def choose(images: Iterable[DicomImage]) -> tuple[dict[Sequence, DicomImage], list[SeriesEntry]]:
    """Return the image of each sequence, and one entry for every volume, in their order."""
    judged = judge(images)
    chosen: dict[Sequence, DicomImage] = {}
    for sequence in Sequence:
        candidates = [(i, v) for i, v in judged if v.sequence is sequence and not i.flaws]
        if candidates:
            chosen[sequence] = max(candidates, key=lambda pair: _merit(*pair))[0]
    return chosen, _merged([_entry(image, verdict, chosen) for image, verdict in judged])


def override(
    images: Iterable[DicomImage], numbers: dict[Sequence, int], source: str
) -> tuple[dict[Sequence, DicomImage], list[SeriesEntry]]:
    """Return the images and entries where somebody said which series number is which sequence, and no other counts.

    Of several volumes of a series the rule chooses, among those that show the sequence if there are any. source: who
    said it, for the table. Raises `BrainMVPError` if there is no such series or it cannot be used.
    """
    judged, chosen = judge(images), {}
    for sequence, number in numbers.items():
        named = [(image, verdict) for image, verdict in judged if image.number == number]
        if not named:
            raise BrainMVPError(f"{source} names series {number}, which is not there; correct the number.")
        candidates = [(image, verdict) for image, verdict in named if not image.flaws]
        if not candidates:
            flaws = "; ".join(named[0][0].flaws)
            raise BrainMVPError(f"{source} names series {number}, which cannot be used: {flaws}.")
        unclear = [pair for pair in candidates if pair[1].what == UNCLEAR]
        if sequence is Sequence.DWI and len(unclear) > 1:
            raise BrainMVPError(
                f"{source} names series {number}, {len(unclear)} volumes without a b-value, one of which may be b = 0; "
                "convert the weighted one to NIfTI and give that."
            )
        fitting = [pair for pair in candidates if pair[1].sequence is sequence]
        chosen[sequence] = max(fitting or candidates, key=lambda pair: _merit(*pair))[0]
    told = {id(image): sequence for sequence, image in chosen.items()}
    return chosen, _merged([_told(image, verdict, told.get(id(image)), source) for image, verdict in judged])


def _told(image: DicomImage, verdict: Verdict, sequence: Sequence | None, source: str) -> SeriesEntry:
    if sequence is None:
        return SeriesEntry(image, verdict, "left out", f"{source} does not name it")
    return SeriesEntry(image, Verdict(sequence, str(sequence), f"{source} says so"), "used", "")


def _entry(image: DicomImage, verdict: Verdict, chosen: dict[Sequence, DicomImage]) -> SeriesEntry:
    if verdict.sequence is None:
        return SeriesEntry(image, verdict, "left out", verdict.what)
    if image.flaws:
        return SeriesEntry(image, verdict, "left out", "; ".join(image.flaws))
    best = chosen[verdict.sequence]
    if image is best:
        return SeriesEntry(image, verdict, "used", "")
    return SeriesEntry(image, verdict, "alternative", _advantage(best, recognise(best.facts), image, verdict))


def _merit(image: DicomImage, verdict: Verdict) -> tuple[Any, ...]:
    return tuple(value for _, value in _criteria(image, verdict))


def _criteria(image: DicomImage, verdict: Verdict) -> list[tuple[str, Any]]:
    """Return the rule's criteria in order, greater is better, with what the winner is said to have."""
    b_value = float(image.facts.get("DiffusionBValue", 0))
    covered = np.minimum(image.extent, _HEAD_MM) // _COVERAGE_STEP_MM
    log_edge = np.log(image.spacing.max()) // -np.log(_EVEN_FINER)
    log_voxel = np.log(np.prod(image.spacing)) // -np.log(_EVEN_FINER)
    return [
        ("a header without contradictions", not verdict.contradictions),
        ("the trace of all directions", ", trace" in verdict.why),
        (
            "the original acquisition",
            "DERIVED" not in image_type(image.facts) or verdict.sequence in (Sequence.DWI, Sequence.ADC),
        ),
        ("a b-value nearer to 1000", -abs(b_value - 1000) if verdict.sequence is Sequence.DWI else 0),
        ("a name that says so", _says_so(image, verdict)),
        ("more of the head", float(covered.sum())),
        ("thinner slices", -float(log_edge)),
        ("smaller voxels", -float(log_voxel)),
        ("a later series number", image.number or 0),
        ("an earlier place in the series", -image.facts.get("InstanceNumber", 0)),
    ]


def _says_so(image: DicomImage, verdict: Verdict) -> float:
    """Return how well a name says what an image is; “T1” does for T1CE by half: it may be from before the agent."""
    named, _ = name_of(image.facts)
    if named is None or verdict.sequence is None:
        return 0.0
    return 1.0 if named is verdict.sequence else 0.5 * (plain(named) is plain(verdict.sequence))


def _advantage(best: DicomImage, its: Verdict, other: DicomImage, verdict: Verdict) -> str:
    pairs = zip(_criteria(best, its), _criteria(other, verdict), strict=True)
    what = next((name for (name, a), (_, b) in pairs if a > b), "the first place")
    return f"series {best.number} has {what}"


def _merged(entries: list[SeriesEntry]) -> list[SeriesEntry]:
    """Return one entry where volumes of one series are left out for one reason: a diffusion series has sixty."""
    lines: dict[tuple[Any, ...], SeriesEntry] = {}
    for number, entry in enumerate(entries):
        series = entry.image.series_uid
        key = (series, entry.reason, entry.verdict.what) if entry.use != "used" else (series, number)
        if key in lines:
            first = lines[key]
            lines[key] = SeriesEntry(first.image, first.verdict, first.use, first.reason, first.volumes + 1)
        else:
            lines[key] = entry
    return list(lines.values())
