"""Slices into volumes: what belongs together, in which order, and what is missing.

One series can hold several volumes (the echoes of a dual-echo scan, the b-values of a diffusion scan, the three
planes of a localiser), and a folder several series.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from brainmvp.dicom.headers import Slice
from brainmvp.volume import LPS_TO_RAS, Volume

# What tells the volumes of a series apart, the plainest first.
_SPLITTERS = (
    "ImageType", "EchoNumbers", "EchoTime", "DiffusionBValue", "DiffusionDirectionality",
    "DiffusionGradientOrientation", "InversionTime", "TemporalPositionIdentifier", "TriggerTime",
    "AcquisitionNumber", "AcquisitionTime",
)  # fmt: skip
_FEWEST_SLICES = 5
_SMALLEST_EXTENT_MM = 30.0
# Positions are written with few digits, and the affine averages over them.
_EVEN = 0.05  # of the step between slices
_STRAIGHT_MM = 0.5
_THINNEST_MM = 0.01
_TILTED_DEG = 0.5
_LEAST_NORMAL = 0.9  # of the product of two directions, which is 1 where they are sound


@dataclass(frozen=True)
class Plane:
    """Where the voxels of one slice are (see `Slice`)."""

    path: Path
    frame: int | None
    uid: str


@dataclass(frozen=True)
class DicomImage:
    """One volume of one series; `brainmvp.volume.read_volume` reads it like a file.

    planes: its slices along the normal; affine: (4, 4) float64, index (column, row, slice) to RAS millimetres, from
    the header alone; facts: of its middle slice, by DICOM keyword; flaws: why it cannot be used; notes: what its
    reader should know.
    """

    planes: tuple[Plane, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray = field(compare=False)
    facts: dict[str, Any] = field(compare=False, hash=False)
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def series_uid(self) -> str:
        return self.facts["SeriesInstanceUID"]

    @property
    def number(self) -> int | None:
        """The series number, by which people call it."""
        return self.facts.get("SeriesNumber")

    @property
    def description(self) -> str:
        return str(self.facts.get("SeriesDescription") or self.facts.get("ProtocolName") or "")

    @property
    def name(self) -> str:
        """The series as people call it: `series 5 AX FLAIR`."""
        return " ".join(filter(None, ["series", str(self.number or "?"), self.description]))

    @property
    def mark(self) -> str:
        """A short text that tells its slices from others."""
        uids = "".join(f"{plane.uid}#{plane.frame}" for plane in self.planes)
        return hashlib.sha256(uids.encode()).hexdigest()[:12]

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size along each axis, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def extent(self) -> np.ndarray:
        """Size of the box of voxels along each axis, mm."""
        return self.spacing * self.shape

    def read(self) -> Volume:
        """Return the voxels with their place in the world; raises `BrainMVPError` if a file cannot be decoded."""
        from brainmvp.dicom.read import read_image

        return read_image(self)

    def headers(self) -> list[Dataset]:
        """Return the headers of its files without their voxels, in the order of its slices."""
        from brainmvp.dicom.read import read_headers

        return read_headers(self)


def images_of(slices: Iterable[Slice]) -> list[DicomImage]:
    """Return the volumes that slices of any number of series form, in the order of the series numbers."""
    by_series: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        by_series[one.facts["SeriesInstanceUID"]].append(one)
    images = [image for series in by_series.values() for image in _images_of_series(series)]
    return sorted(images, key=lambda image: (image.number or 0, image.series_uid))


def _images_of_series(series: list[Slice]) -> list[DicomImage]:
    unique = {(one.facts.get("SOPInstanceUID"), one.frame): one for one in series}
    copies = len(series) - len(unique)
    kept = sorted(unique.values(), key=lambda one: (one.facts.get("InstanceNumber", 0), str(one.path)))
    stated = kept[0].facts.get("ImagesInAcquisition") if kept[0].frame is None else None
    absent = int(stated) - len(kept) if isinstance(stated, (int, float)) else 0
    notes = [f"{copies} copies of slices were passed over"] if copies else []
    planes: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for one in kept:
        planes[_orientation_key(one)].append(one)
    groups = [group for plane in planes.values() for group in _volumes_of(plane)]
    # A count of the whole series says nothing about one volume of several.
    short = f"{absent} of {stated} slices are missing" if absent > 0 and len(groups) == 1 else ""
    return [_image(group, notes, short) for group in groups]


def _orientation_key(one: Slice) -> tuple[Any, ...]:
    orientation = one.facts.get("ImageOrientationPatient") or ()
    spacing = one.facts.get("PixelSpacing") or ()
    return (
        tuple(round(v, 2) + 0.0 for v in orientation),
        tuple(round(v, 3) for v in spacing),
        one.facts.get("Rows"),
        one.facts.get("Columns"),
    )


def _volumes_of(group: list[Slice]) -> list[list[Slice]]:
    """Split slices of one orientation until no position is taken twice, as far as the header tells them apart."""
    times = Counter(_position_key(one) for one in group)
    most = max(times.values())
    if most == 1:
        return [group]
    for keyword in _SPLITTERS:
        parts: dict[Any, list[Slice]] = defaultdict(list)
        for one in group:
            parts[one.facts.get(keyword)].append(one)
        # What differs from slice to slice (a time, a counter) would tear the volumes apart.
        if 1 < len(parts) <= most and all(
            max(Counter(map(_position_key, part)).values()) < most for part in parts.values()
        ):
            return [volume for part in parts.values() for volume in _volumes_of(part)]
    if min(times.values()) == most and len(times) > 1:  # whole volumes one after another
        rounds: dict[int, list[Slice]] = defaultdict(list)
        seen: Counter[Any] = Counter()
        for one in group:
            rounds[seen[_position_key(one)]].append(one)
            seen[_position_key(one)] += 1
        return list(rounds.values())
    return [group]


def _position_key(one: Slice) -> tuple[float, ...]:
    return tuple(round(v, 2) + 0.0 for v in one.facts.get("ImagePositionPatient") or ())


def _image(group: list[Slice], notes: list[str], short: str) -> DicomImage:
    first_at: dict[Any, Slice] = {}
    for one in group:
        first_at.setdefault(_position_key(one), one)
    notes = list(notes)
    if len(first_at) < len(group):
        notes.append(f"{len(group) - len(first_at)} slices lie where another one lies; the first was taken")
    placed = [one for one in first_at.values() if _is_placed(one)]
    if not placed:
        return _without_place(group, notes)
    ordered, positions, normal = _ordered(placed)
    flaws = _flaws(positions, normal, short)
    affine = _affine(ordered[0].facts, positions, normal)
    if (tilt := _tilt_deg(affine, normal)) > _TILTED_DEG and len(ordered) > 1:
        notes.append(f"slices shifted against each other (gantry tilt {tilt:.1f}°), kept as they are")
    size = (int(ordered[0].facts["Columns"]), int(ordered[0].facts["Rows"]), len(ordered))
    facts = dict(ordered[len(ordered) // 2].facts)
    planes = tuple(_plane(one) for one in ordered)
    return DicomImage(planes, size, affine, facts, tuple(flaws), tuple(notes))


def _without_place(group: list[Slice], notes: list[str]) -> DicomImage:
    facts = dict(group[0].facts)
    size = (int(facts.get("Columns", 0)), int(facts.get("Rows", 0)), len(group))
    flaws = ("the slices have no position",)
    return DicomImage(tuple(map(_plane, group)), size, np.eye(4), facts, flaws, tuple(notes))


def _flaws(positions: np.ndarray, normal: np.ndarray, short: str) -> list[str]:
    """Return why a volume cannot be used: what is missing, gaps, too little covered, slices off their line.

    positions: (N, 3) of its slices along their normal, LPS mm; short: what the header says is missing, or nothing.
    """
    flaws = [short] if short else []
    flaws += _gaps(positions @ normal)
    count = len(positions)
    if count < _FEWEST_SLICES:
        flaws.append(f"only {count} slice{'s' if count > 1 else ''}")
    elif not flaws and (covered := float(np.ptp(positions @ normal))) < _SMALLEST_EXTENT_MM:
        flaws.append(f"covers only {covered:.0f} mm")
    straight = positions[0] + np.linspace(0, 1, count)[:, None] * (positions[-1] - positions[0])
    off = float(np.linalg.norm(positions - straight, axis=1).max())
    if not flaws and off > _STRAIGHT_MM:
        flaws.append(f"the slices do not lie on one line (up to {off:.1f} mm off)")
    return flaws


def _tilt_deg(affine: np.ndarray, normal: np.ndarray) -> float:
    """Return the angle between the way from slice to slice and the slices' normal (LPS)."""
    axis = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    return float(np.degrees(np.arccos(min(abs(float(axis @ (LPS_TO_RAS[:3, :3] @ normal))), 1.0))))


def _is_placed(one: Slice) -> bool:
    lengths = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    sized = one.facts.get("Rows") and one.facts.get("Columns")
    if not sized or any(len(one.facts.get(keyword) or ()) != n for keyword, n in lengths.items()):
        return False
    row, column = np.array(one.facts["ImageOrientationPatient"], float).reshape(2, 3)
    return min(one.facts["PixelSpacing"]) > 0 and np.linalg.norm(np.cross(row, column)) > _LEAST_NORMAL


def _ordered(placed: list[Slice]) -> tuple[list[Slice], np.ndarray, np.ndarray]:
    """Return slices along their normal with their positions (N, 3) in LPS millimetres, and the normal."""
    orientation = np.array(placed[0].facts["ImageOrientationPatient"], float)
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.array([one.facts["ImagePositionPatient"] for one in placed], float)
    order = np.argsort(positions @ normal, kind="stable")
    return [placed[index] for index in order], positions[order], normal


def _gaps(along: np.ndarray) -> list[str]:
    """Return what is wrong with the distances between slices, along their normal in mm."""
    if len(along) < 3:
        return []
    steps = np.diff(along)
    step = float(np.median(steps))
    if step < _THINNEST_MM:
        return ["several slices lie in one plane"]
    wide = np.flatnonzero(steps > 1.5 * step)
    if len(wide):
        missing = int(sum(round(steps[index] / step) - 1 for index in wide))
        places = ", ".join(f"after slice {index + 1}" for index in wide[:3])
        return [f"{missing} slice{'s are' if missing > 1 else ' is'} missing ({places})"]
    if float(np.abs(steps - step).max()) > max(_EVEN * step, 0.02):
        return [f"the slices are {steps.min():.2f} to {steps.max():.2f} mm apart, not evenly"]
    return []


def _affine(facts: Mapping[str, Any], positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return index (column, row, slice) to RAS millimetres (DICOM PS3.3 C.7.6.2.1.1)."""
    row, column = np.array(facts["ImageOrientationPatient"], float).reshape(2, 3)
    between_rows, between_columns = facts["PixelSpacing"]
    affine = np.eye(4)
    affine[:3, 0] = row * between_columns
    affine[:3, 1] = column * between_rows
    count = len(positions)
    thickness = float(facts.get("SliceThickness") or 1.0)
    affine[:3, 2] = (positions[-1] - positions[0]) / (count - 1) if count > 1 else normal * thickness
    affine[:3, 3] = positions[0]
    return LPS_TO_RAS @ affine


def _plane(one: Slice) -> Plane:
    return Plane(one.path, one.frame, str(one.facts.get("SOPInstanceUID", "")))
