"""Which volume is which sequence: found by name or DICOM header, never chosen where two claim the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Callable

from .tables import ANY_SEQUENCE, TaskSpec


@dataclass(frozen=True)
class VolumeFacts:
    """What is known of a volume in the scene.

    header: what its DICOM header says of the sequence, in words; sequence: what it was downloaded or loaded as.
    """

    node_id: str
    name: str
    header: str = ""
    sequence: str | None = None


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


def sequence_teller(sequences: Any) -> Callable[[VolumeFacts], str | None]:
    """Return a function that tells a volume's sequence; `sequences` is the library's module of that name."""

    def tell(volume: VolumeFacts) -> str | None:
        if volume.sequence:
            return volume.sequence
        if sequences.is_label(volume.name):
            return None
        found = sequences.sequence_of(volume.header) if volume.header else None
        found = found or sequences.sequence_of(volume.name)
        return str(found) if found else None

    return tell


def assemble(
    task: TaskSpec,
    volumes: Iterable[VolumeFacts],
    chosen: dict[str, str],
    left_empty: Iterable[str],
    tell: Callable[[VolumeFacts], str | None],
) -> list[Row]:
    """Return one row per sequence of the task.

    chosen: node ids by sequence, as the user or an earlier look decided; they stand. Any volume can be the image of
    a model that takes just one.
    """
    volumes = list(volumes)
    names = {volume.node_id: volume.name for volume in volumes}
    left_empty = set(left_empty)
    rows = []
    for sequence in task.sequences:
        claims = tuple(v.node_id for v in volumes if sequence == ANY_SEQUENCE or tell(v) == sequence)
        decided = chosen.get(sequence)
        if decided in names:
            rows.append(Row(sequence, decided, claims, "chosen"))
        elif sequence in left_empty:
            rows.append(Row(sequence, None, claims, "left empty"))
        elif len(claims) == 1:
            rows.append(Row(sequence, claims[0], claims, "found"))
        elif claims:
            listed = ", ".join(names[node_id] for node_id in claims)
            rows.append(Row(sequence, None, claims, f"choose one of {len(claims)}: {listed}"))
        else:
            rows.append(Row(sequence, None, (), "missing"))
    return rows
