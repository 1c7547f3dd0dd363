"""One small SQLite file beside the studies: leases, skips, scores and the journal."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN

_FILE = "annotation.sqlite"
# Seconds to wait for another process that writes.
_PATIENCE = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
    study TEXT PRIMARY KEY, annotator TEXT NOT NULL, given REAL NOT NULL, expires REAL NOT NULL,
    draft INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS skips (
    study TEXT PRIMARY KEY, annotator TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL);
CREATE TABLE IF NOT EXISTS scores (
    study TEXT, task TEXT, files TEXT NOT NULL, model TEXT NOT NULL, encoder TEXT NOT NULL,
    entropy TEXT NOT NULL, embedding BLOB, problem TEXT, PRIMARY KEY (study, task));
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, task TEXT, study TEXT, annotator TEXT,
    seconds REAL, detail TEXT NOT NULL);
-- model, encoder: `Card.identity`; label: the state of label, images and marking.
CREATE TABLE IF NOT EXISTS held_out_dice (
    model TEXT, study TEXT, label TEXT, dice TEXT NOT NULL, PRIMARY KEY (model, study, label));
"""


class Database:
    """The file `.brainmvp/annotation.sqlite` of a studies folder; threads and processes may share it."""

    def __init__(self, studies: Path) -> None:
        self.path = studies / HIDDEN / _FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Kept open: SQLite tidies the file up, slowly, whenever the last connection is closed.
        self._idle: list[sqlite3.Connection] = []
        self._turn = Lock()
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
            old = not _has_drafts(connection)
        if old:
            with self.writing() as connection:
                if not _has_drafts(connection):  # nobody else was faster
                    connection.execute("ALTER TABLE leases ADD COLUMN draft INTEGER NOT NULL DEFAULT 0")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for queries."""
        with self._connection() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection whose changes are all made when the block ends, or none if it raises."""
        # Of those who wait for each other in SQLite, some wait very long: it only tries again and again.
        with self._turn, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._open()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
        except sqlite3.OperationalError as error:
            raise OSError(f"{self.path} cannot be written or read ({error})") from error
        except sqlite3.DatabaseError as error:
            raise BrainMVPError(
                f"{self.path} is damaged ({error}); move it away: the labels are kept in labels/, only leases, "
                "scores and the history start anew."
            ) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, _PATIENCE, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        # A power cut may lose the last second of the journal, never the file; labels are files of their own.
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection


def _has_drafts(connection: sqlite3.Connection) -> bool:
    """Tell whether the table of leases has its newest column."""
    return any(row["name"] == "draft" for row in connection.execute("PRAGMA table_info(leases)"))
