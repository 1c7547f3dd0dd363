"""Which volume is which sequence: found by header or name, never chosen where two claim the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Callable

from .tables import ANY_SEQUENCE, TaskSpec


@dataclass(frozen=True)
class VolumeFacts:
    """A volume of the scene.

    sequence: what the server says it is, if it came from there; visit: the study that it was opened with, or the UID of
    its DICOM study; empty where it has neither.
    """

    node_id: str
    name: str
    sequence: str | None = None
    visit: str = ""


@dataclass(frozen=True)
class Row:
    """A sequence of the task: the volume chosen for it, the volumes that claim it, and how that stands in words."""

    sequence: str
    chosen: str | None
    claims: tuple[str, ...]
    note: str

    @property
    def disputed(self) -> bool:
        return self.chosen is None and len(self.claims) > 1


def assemble(
    task: TaskSpec,
    volumes: Iterable[VolumeFacts],
    chosen: dict[str, str],
    left_empty: Iterable[str],
    tell: Callable[[VolumeFacts], tuple[str | None, str]],
    study: str = "",
    series: Iterable[dict[str, Any]] = (),
) -> list[Row]:
    """Return one row per sequence of the task.

    chosen: node ids by sequence, as the user decided; they stand. tell: a volume's sequence, and why. Any volume can
    be the image of a model that takes just one. What is found is of one visit: the study that is open, by name; where
    none is, that of what the user decided; else nothing is taken where several are found. series: those of the server's
    DICOM study, of which some may have been left out.
    """
    series = list(series)
    volumes = list(volumes)
    given = {volume.node_id: volume.sequence for volume in volumes}
    told = {volume.node_id: tell(volume) for volume in volumes}
    left_empty = set(left_empty)
    visits = {volume.node_id: volume.visit for volume in volumes}
    decided_on = {visits[chosen[s]] for s in task.sequences if chosen.get(s) in given} - {""}
    allowed = {study} if study else decided_on and {"", *decided_on}
    rows = []
    for sequence in task.sequences:
        claims = tuple(i for i, (found, _) in told.items() if sequence in (found, ANY_SEQUENCE))
        fitting = [i for i in claims if not allowed or visits[i] in allowed]
        decided = chosen.get(sequence)
        if decided in given and given[decided] == sequence:
            rows.append(Row(sequence, decided, claims, f"Found: {told[decided][1]}"))
        elif decided in given:
            several = ", but the volumes are of several visits" if len(decided_on) > 1 else ""
            rows.append(Row(sequence, decided, claims, f"Chosen{several}"))
        elif sequence in left_empty:
            rows.append(Row(sequence, None, claims, "Left empty"))
        elif len(fitting) == 1:
            rows.append(Row(sequence, fitting[0], claims, f"Found: {told[fitting[0]][1]}"))
        elif fitting:
            rows.append(Row(sequence, None, claims, f"Choose: {len(fitting)} volumes claim it"))
        elif claims:
            where = "outside this study" if study else "in another visit"
            rows.append(Row(sequence, None, (), f"Missing; found {where}"))
        else:
            why = why_unused(series, sequence)
            rows.append(Row(sequence, None, (), f"Not used, {why}" if why else "Missing"))
    found_in = {visits[row.chosen] for row in rows if row.chosen} - {""}
    if decided_on or len(found_in) < 2:
        return rows
    note = f"Choose: volumes of {len(found_in)} visits were found"
    return [replace(row, chosen=None, note=note) if row.chosen else row for row in rows]


def series_of(series: Iterable[dict[str, Any]], sequence: str) -> str:
    """Say which series of the server's DICOM study a sequence is; empty where it is none."""
    used = (e for e in series if e.get("what") == sequence and e.get("use") == "used")
    return next((f"series {entry.get('series')}" for entry in used), "")


def why_unused(series: Iterable[dict[str, Any]], sequence: str) -> str:
    """Say which series of a sequence the server left out of its DICOM study, and why; empty where there is none."""
    left_out = (e for e in series if e.get("what") == sequence and e.get("use") == "left out")
    return "; ".join(f"series {entry.get('series')}: {entry.get('reason')}" for entry in left_out)


def series_rows(series: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Return, for each series, its name, what it is, whether it is used, and why or what is odd."""
    rows = []
    for entry in series:
        remarks = [
            entry.get("reason") or entry.get("why"),
            *entry.get("contradictions", ()),
            *entry.get("notes", ()),
        ]
        why = "; ".join(str(remark) for remark in remarks if remark)
        name = f"{entry.get('series', '')} {entry.get('description', '')}".strip()
        rows.append([name, str(entry.get("what", "")), str(entry.get("use", "")), why])
    return rows
