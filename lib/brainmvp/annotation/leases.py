"""Who has which study: leases that expire, and studies that were skipped."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from brainmvp.annotation.database import Database
from brainmvp.annotation.journal import iso

# A tumour takes an hour at worst; who was interrupted for longer gets another study.
LEASE_SECONDS = 2 * 3600.0
# Studies that an annotator may have proposed and not labelled: stock clients ask on and on, and cannot give back.
MOST_PROPOSED = 5


@dataclass(frozen=True)
class Lease:
    """A study that an annotator has until `expires`, seconds since 1970; draft: with a draft of theirs."""

    study: str
    annotator: str
    expires: float
    draft: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return annotator, expiry as ISO time, and whether there is a draft."""
        return {"annotator": self.annotator, "expires": iso(self.expires), "draft": self.draft}


class Leases:
    """The leases and skips of a cohort. `now` can be replaced by a clock of one's own."""

    def __init__(
        self, database: Database, seconds: float = LEASE_SECONDS, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._seconds = seconds
        self._now = now

    def take(self, order: list[str], annotator: str) -> Lease | None:
        """Lease the first study of an order that nobody else has; None if there is none.

        A draft of this annotator whose time is up comes first. Studies that this annotator was given before, and
        others' drafts, come after fresh ones, and skipped ones last, the longest ago first: asking again gives another
        study as long as there is one. Of those that this annotator was given and keeps no draft of, the last
        `MOST_PROPOSED` stay reserved.
        """
        now = self._now()
        with self._database.writing() as connection:
            leases = {row["study"]: row for row in connection.execute("SELECT * FROM leases")}
            skipped = {
                row["study"]: row["time"] for row in connection.execute("SELECT study, time FROM skips")
            }

            def free(study: str) -> bool:
                lease = leases.get(study)
                return lease is None or lease["annotator"] == annotator or lease["expires"] <= now

            def turn(study: str) -> tuple[float, float]:
                lease, back = leases.get(study), skipped.get(study, 0.0)
                if lease is None:
                    return back, 0.0
                if lease["annotator"] != annotator:
                    return back, lease["expires"] if lease["draft"] else 0.0
                # Not at once where it was given back: another study was asked for.
                due = lease["draft"] and max(lease["expires"], lease["given"] + self._seconds) <= now
                return (-1.0, 0.0) if due else (back, lease["given"])

            study = min(filter(free, order), key=turn, default=None)  # the first of equals keeps the order
            if study is None:
                return None
            before = leases.get(study)
            drafted = before is not None and before["annotator"] == annotator and bool(before["draft"])
            lease = Lease(study, annotator, now + self._seconds, drafted)
            connection.execute(
                "INSERT OR REPLACE INTO leases (study, annotator, given, expires, draft) VALUES (?, ?, ?, ?, ?)",
                (study, annotator, now, lease.expires, drafted),
            )
            connection.execute(
                "UPDATE leases SET expires = :now WHERE study IN (SELECT study FROM leases WHERE "
                "annotator = :annotator AND expires > :now AND draft = 0 "
                "ORDER BY given DESC, rowid DESC LIMIT -1 OFFSET :most)",
                {"now": now, "annotator": annotator, "most": MOST_PROPOSED},
            )
        return lease

    def holder(self, study: str) -> Lease | None:
        """Return the lease of a study, or None if nobody has it."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT study, annotator, expires, draft FROM leases WHERE study = ? AND expires > ?",
                (study, self._now()),
            ).fetchone()
        return Lease(row["study"], row["annotator"], row["expires"], bool(row["draft"])) if row else None

    def renew(self, study: str, annotator: str) -> None:
        """Let who sent a draft of a study that is theirs, or that nobody has, keep it for the full time from now."""
        now = self._now()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO leases (study, annotator, given, expires, draft) "
                "VALUES (:study, :annotator, :now, :expires, 1) ON CONFLICT (study) DO UPDATE SET "
                "annotator = :annotator, expires = :expires, draft = 1 "
                "WHERE annotator = :annotator OR expires <= :now",
                {"study": study, "annotator": annotator, "now": now, "expires": now + self._seconds},
            )

    def release(self, study: str) -> None:
        """Give a study back; that it was given is kept, so that others come first when its annotator asks again."""
        with self._database.writing() as connection:
            connection.execute("UPDATE leases SET expires = ? WHERE study = ?", (self._now(), study))

    def skip(self, study: str, annotator: str, reason: str) -> None:
        """Put a study behind all others, and give it back."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM leases WHERE study = ?", (study,))
            connection.execute(
                "INSERT OR REPLACE INTO skips VALUES (?, ?, ?, ?)", (study, annotator, reason, self._now())
            )

    def forget(self, study: str) -> None:
        """Drop what is known of a study that is labelled or gone."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM leases WHERE study = ?", (study,))
            connection.execute("DELETE FROM skips WHERE study = ?", (study,))
