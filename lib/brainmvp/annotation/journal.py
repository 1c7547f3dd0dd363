"""What happened, in order: proposals, labels, skips, trainings, versions."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from brainmvp.annotation.database import Database

_FIELDS = "kind, time, task, study, annotator, seconds, detail"


@dataclass(frozen=True)
class Event:
    """Something that happened at a time, seconds since 1970.

    kind: proposed, final, draft, skipped, released, training, version or served; seconds: an annotator's
    time for a label; detail: what else is known.
    """

    kind: str
    time: float
    task: str | None = None
    study: str | None = None
    annotator: str | None = None
    seconds: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def when(self) -> str:
        """The time as ISO text, UTC."""
        return iso(self.time)


def iso(seconds: float) -> str:
    """Return seconds since 1970 as ISO text, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class Journal:
    """The events of a cohort."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_once(self, kind: str, *, study: str, **facts: Any) -> None:
        """Write down that something happened to a study, unless that is the last thing that happened to it."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_FIELDS} FROM events WHERE study = ? ORDER BY id DESC LIMIT 1", (study,)
            ).fetchone()
        if row is None or replace(_event(row), time=0) != Event(kind, 0, study=study, **facts):
            self.add(kind, study=study, **facts)

    def add(
        self, kind: str, *, task: str | None = None, study: str | None = None, annotator: str | None = None,
        seconds: float | None = None, detail: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Write down that something happened now."""
        row = (time.time(), kind, task, study, annotator, seconds, json.dumps(detail or {}))
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO events (time, kind, task, study, annotator, seconds, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def events(self, *kinds: str) -> list[Event]:
        """Return the events of these kinds (all, if none is given), in order."""
        marks = ", ".join("?" * len(kinds))
        where = f"WHERE kind IN ({marks})" if kinds else ""
        query = f"SELECT {_FIELDS} FROM events {where} ORDER BY id"
        with self._database.reading() as connection:
            return [_event(row) for row in connection.execute(query, kinds)]


def _event(row: Sequence[Any]) -> Event:
    return Event(*row[:6], json.loads(row[6]))
