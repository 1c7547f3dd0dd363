"""What a table says of the patients of a cohort, and which of them are held out."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from brainmvp.chance import by_chance
from brainmvp.cohort.index import SPLITS, Index, Split
from brainmvp.errors import BrainMVPError

# So many subjects that a table has and the cohort has not are named: a mistyped one is seen, and a biobank fits.
_NAMED = 10


def with_table(index: Index, path: str | os.PathLike[str]) -> tuple[Index, list[str]]:
    """Return the index with the classes and splits of a table (.csv or .tsv), and what was not found, in sentences.

    Columns: `subject` or BIDS' `participant_id`; one or more of `label`, `split`; and, where they matter, `session`
    and `dataset`. A row without a session counts for all visits of the patient that have no row of their own. Raises
    `BrainMVPError` for another table, or one that gives a visit two classes or splits, or splits a patient's visits.
    """
    path = Path(path)
    rows = sorted(_rows(path), key=_rank, reverse=True)
    used: set[int] = set()
    of_subject: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in enumerate(rows):
        of_subject.setdefault(row["subject"], []).append((number, row))
    sessions = []
    for session in index.sessions:
        update: dict[str, tuple[dict[str, str], str]] = {}
        for number, row in of_subject.get(session.subject, ()):
            if any(row.get(key) and row[key] != getattr(session, key) for key in ("session", "dataset")):
                continue
            used.add(number)
            for key in ("label", "split"):
                if row.get(key):
                    by, value = update.setdefault(key, (row, row[key]))
                    if value != row[key] and _rank(by) == _rank(row):
                        raise BrainMVPError(
                            f"{path} gives {session.id} the {key}s '{value}' and '{row[key]}'; give each visit "
                            "one row, with its 'session'."
                        )
        sessions.append(session.model_copy(update={key: value for key, (_, value) in update.items()}))
    unknown = list(dict.fromkeys(row["subject"] for number, row in enumerate(rows) if number not in used))
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    notes = [f"{path}: no study of subject {', '.join(unknown[:_NAMED])}{more}."] if unknown else []
    result = index.with_sessions(sessions)
    check_splits(result, str(path))
    return result, notes


def check_splits(index: Index, source: str) -> None:
    """Raise `BrainMVPError` if a patient is on two sides of a split; a visit without one is on its patient's."""
    sides: dict[str, Split] = {}
    for session in index.sessions:
        side = session.split or sides.get(session.patient)
        if side and sides.setdefault(session.patient, side) != side:
            raise BrainMVPError(
                f"{source} puts visits of {session.patient} into {sides[session.patient]} and {side}; "
                "keep a patient on one side."
            )


def hold_out(index: Index, validation: float, test: float, seed: int) -> Index:
    """Return the index with these shares of the patients held out, at least one each if the share is above 0.

    Patients that have a split keep it, and all their visits share it. The same seed and patients give the same choice,
    on any computer.
    """
    sides: dict[str, Split] = {s.patient: s.split for s in index.sessions if s.split}
    free = sorted({s.patient for s in index.sessions} - sides.keys(), key=lambda p: by_chance(f"{seed}/{p}"))
    shares: dict[Split, float] = {"validation": validation, "test": test}
    sides |= dict.fromkeys(free, "train")
    start = 0
    for side, share in shares.items():
        count = max(round(share * len(free)), 1) if share > 0 and len(free) > 1 else 0
        sides |= dict.fromkeys(free[start : start + count], side)
        start += count
    return index.with_sessions(
        s if s.split else s.model_copy(update={"split": sides[s.patient]}) for s in index.sessions
    )


def _rank(row: dict[str, str]) -> tuple[bool, bool]:
    """Return how much a row says of whose it is; of two for a visit, the one that says more counts."""
    return bool(row.get("session")), bool(row.get("dataset"))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            rows = [dict(row) for row in csv.DictReader(stream, delimiter=delimiter)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BrainMVPError(
            f"{path} cannot be read as a table ({error}); save it as CSV in UTF-8."
        ) from error
    for row in rows:
        row["subject"] = (row.get("participant_id") or row.get("subject") or "").removeprefix("sub-")
        if not row.get("subject") or None in row:
            raise BrainMVPError(
                f"{path} needs a column 'subject' (or 'participant_id') with a value in every row; add it."
            )
        if row.get("split") and row["split"] not in SPLITS:
            raise BrainMVPError(f"{path}: '{row['split']}' is no split; use {', '.join(SPLITS)}.")
    if rows and not {"label", "split"} & rows[0].keys():
        raise BrainMVPError(f"{path} has neither a column 'label' nor 'split'; add one.")
    return rows
