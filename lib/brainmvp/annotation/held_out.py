"""The studies that never train: chosen once, by patient, and written down."""

import json
import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from brainmvp.annotation.cases import patient_of
from brainmvp.annotation.database import HIDDEN
from brainmvp.annotation.journal import iso
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json

# Of the patients labelled when the set is chosen.
_SHARE = 0.2
SMALLEST = 3


@dataclass(frozen=True)
class HeldOut:
    """The held-out patients of a task: when and with which seed they were drawn, and out of how many."""

    task: str
    patients: tuple[str, ...]
    of: int
    seed: int
    chosen: str

    def holds(self, study: str) -> bool:
        """Tell whether a study is of a held-out patient; so is one that comes later."""
        return patient_of(study) in self.patients


def read_held_out(studies: Path, task: str) -> HeldOut | None:
    """Return the held-out set of a task, or None if none was chosen; raises `BrainMVPError` if the file is damaged."""
    path = _path(studies, task)
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        return HeldOut(**stored | {"patients": tuple(stored["patients"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BrainMVPError(
            f"{path} is damaged; restore it from a backup: without it held-out patients could train."
        ) from error


def choose_held_out(studies: Path, task: str, labelled: list[str], now: float, seed: int = 0) -> HeldOut:
    """Return the held-out set of a task; draw and write it if there is none.

    A fifth of the patients of the labelled studies, three at least; the draw is fixed by seed.
    """
    stored = read_held_out(studies, task)
    if stored:
        return stored
    patients = sorted({patient_of(study) for study in labelled})
    count = max(SMALLEST, math.ceil(_SHARE * len(patients)))
    drawn = sorted(random.Random(seed).sample(patients, min(count, len(patients))))
    chosen = HeldOut(task, tuple(drawn), len(patients), seed, iso(now))
    write_json(_path(studies, task), asdict(chosen))
    return chosen


def _path(studies: Path, task: str) -> Path:
    return studies / HIDDEN / f"held-out-{task}.json"
