"""What happened, in order: proposals, labels, skips, trainings, versions."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from brainmvp.annotation.database import Database


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
        query = f"SELECT kind, time, task, study, annotator, seconds, detail FROM events {where} ORDER BY id"
        with self._database.reading() as connection:
            return [Event(*row[:6], json.loads(row[6])) for row in connection.execute(query, kinds)]
