"""The studies that never train: chosen by patient, and written down."""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from brainmvp.annotation.cases import patient_of
from brainmvp.annotation.journal import iso
from brainmvp.chance import by_chance
from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN, write_json

# Of the patients that are labelled.
_SHARE = 0.2
SMALLEST = 3
# Patients that are left to train (two) and to validate.
LEFT = 3
_FILE = "held-out-{}.json"


@dataclass(frozen=True)
class HeldOut:
    """The held-out patients of a task: when and with which seed they were last drawn, and out of how many."""

    task: str
    patients: tuple[str, ...]
    of: int
    seed: int
    chosen: str

    def holds(self, study: str) -> bool:
        """Tell whether a study is of a held-out patient; so is one that comes later."""
        return patient_of(study) in self.patients

    def missing(self, studies: Iterable[str]) -> list[str]:
        """Return the patients of whom there is none of some studies: they may be there under another name."""
        there = {patient_of(study) for study in studies}
        return [patient for patient in self.patients if patient not in there]


def read_held_out(studies: Path, task: str) -> HeldOut | None:
    """Return the held-out set of a task, or None if none was chosen; raises `BrainMVPError` if the file is damaged."""
    path = held_out_path(studies, task)
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        return HeldOut(**stored | {"patients": tuple(stored["patients"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BrainMVPError(
            f"{path} is damaged; restore it from a backup: without it held-out patients could train."
        ) from error


def choose_held_out(
    studies: Path, task: str, labelled: list[str], now: float, seed: int = 0, taught: Collection[str] = ()
) -> HeldOut:
    """Return the held-out set of a task; draw and write it if there is none or there are more labels now.

    A fifth of the patients of the labelled studies, three at least; the draw is fixed by seed. Nobody ever leaves it.
    taught: patients from whom a model has, or may have, learned, who never come to it later.
    """
    stored = read_held_out(studies, task)
    held = set(stored.patients) if stored else set()
    patients = {patient_of(study) for study in labelled}
    wanted = max(SMALLEST, math.ceil(_SHARE * len(patients))) - len(held & patients)
    free = patients - held
    fresh = sorted(free - set(taught) if stored else free, key=lambda p: by_chance(f"held out {seed}:{p}"))
    more = fresh[: max(0, min(wanted, len(free) - LEFT))]
    if stored and not more:
        return stored
    chosen = HeldOut(task, tuple(sorted(held.union(more))), len(patients), seed, iso(now))
    write_json(held_out_path(studies, task), asdict(chosen))
    return chosen


def held_out_path(studies: Path, task: str) -> Path:
    """Return where the held-out set of a task is kept in a folder of studies."""
    return studies / HIDDEN / _FILE.format(task)


def held_out_tasks(studies: Path) -> list[str]:
    """Return the tasks that have a held-out set in a folder of studies, sorted."""
    start, end = _FILE.split("{}")
    found = (studies / HIDDEN).glob(_FILE.format("*"))
    return sorted(path.name.removeprefix(start).removesuffix(end) for path in found)
