"""Whether a new model version may be served: a paired comparison on the held-out studies."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainmvp.annotation.cases import case_state
from brainmvp.annotation.database import Database
from brainmvp.card import Card
from brainmvp.case import Case, read_label
from brainmvp.dice import dice
from brainmvp.segment import Segmenter

# Dice by which the mean may fall: less is noise of a handful of cases.
TOLERANCE = 0.005
# Raise it when the same network comes to mark something else, so that no Dice of before is compared.
_MARKING = 2


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same cases: (study, Dice of the old one, Dice of the new one)."""

    old: str
    new: str
    cases: tuple[tuple[str, float, float], ...]

    @property
    def old_mean(self) -> float:
        """Mean Dice of the old version; 0 without cases."""
        return float(np.mean([old for _, old, _ in self.cases])) if self.cases else 0.0

    @property
    def new_mean(self) -> float:
        """Mean Dice of the new version; 0 without cases."""
        return float(np.mean([new for _, _, new in self.cases])) if self.cases else 0.0

    @property
    def difference(self) -> float:
        """Mean of the paired differences, new minus old; 0 without cases."""
        return self.new_mean - self.old_mean

    @property
    def passes(self) -> bool:
        """Whether the new version is not worse."""
        return bool(self.cases) and self.difference >= -TOLERANCE

    @property
    def sentence(self) -> str:
        """The decision and its reason."""
        if not self.cases:
            return f"{self.old} and {self.new} were not both measured on held-out studies."
        better = sum(new > old for _, old, new in self.cases)
        facts = (
            f"on {len(self.cases)} held-out studies its mean Dice differs by {self.difference:+.4f} from that of "
            f"{self.old} (tolerance -{TOLERANCE}); it is better in {better} of them"
        )
        return f"{self.new} is {'not worse' if self.passes else 'worse'}: {facts}."

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON-ready values."""
        return {
            "old": self.old, "new": self.new, "difference": round(self.difference, 5), "tolerance": TOLERANCE,
            "passes": self.passes, "sentence": self.sentence,
            "cases": [{"study": s, "old": round(a, 5), "new": round(b, 5)} for s, a, b in self.cases],
        }  # fmt: skip


def comparable(measured: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the Dice of versions, oldest first, by study, of the same studies for all: nothing else can be compared.

    They are those of the newest version that was measured. A version that would leave less than half of them, since
    labels were corrected after it, has none.
    """
    newest = next((scores for scores in reversed(measured.values()) if scores), {})
    common, kept = set(newest), set()
    for version, scores in reversed(measured.items()):
        shared = common & scores.keys()
        if scores and 2 * len(shared) >= len(newest):
            common = shared
            kept.add(version)
    return {
        version: {study: scores[study] for study in sorted(common)} if version in kept else {}
        for version, scores in measured.items()
    }


class HeldOutScores:
    """The Dice of model versions on held-out studies, measured once for each state of a label and its images.

    After a release that marks something else with the same network, it is measured again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def measure(self, segmenter: Segmenter, case: Case) -> None:
        """Measure, unless the file has it, the Dice of the regions that a study's sequences and its label show."""
        card = segmenter.card
        if case.id in self.of([card], [case])[card.id]:
            return
        result = segmenter.segment(case.study)
        wanted, reference = read_label(segmenter.task, case)
        if reference is not result.reference:
            result = segmenter.segment(case.study, reference)
        found, true = (segmenter.task.regions_of(labels.data) for labels in (result.labels, wanted))
        drawn = {region.name for region in segmenter.task.offered(case.looked_at)[0]}
        scores = {name: dice(found[name], true[name]) for name in result.probabilities if name in drawn}
        row = (card.identity, case.id, _state(case), json.dumps(scores))
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO held_out_dice VALUES (?, ?, ?, ?)", row)

    def of(self, versions: Iterable[Card], cases: list[Case]) -> dict[str, dict[str, float]]:
        """Return by version and study the mean Dice, where it was measured on label and images as they are now."""
        states = {case.id: _state(case) for case in cases}
        with self._database.reading() as connection:
            return {card.id: self._measured(connection, card, states) for card in versions}

    def _measured(
        self, connection: sqlite3.Connection, card: Card, states: dict[str, str]
    ) -> dict[str, float]:
        rows = connection.execute(
            "SELECT study, label, dice FROM held_out_dice WHERE model = ?", (card.identity,)
        )
        measured = {study: json.loads(dice) for study, state, dice in rows if states.get(study) == state}
        return {study: float(np.mean(list(dice.values()))) for study, dice in measured.items() if dice}

    def compare(self, old: Card, new: Card, cases: list[Case]) -> Comparison:
        """Return two versions side by side on the cases that both were measured on."""
        measured = self.of((old, new), cases)
        before, after = measured[old.id], measured[new.id]
        both = sorted(before.keys() & after.keys())
        return Comparison(old.id, new.id, tuple((study, before[study], after[study]) for study in both))


def _state(case: Case) -> str:
    return f"{_MARKING} {case_state(case)}"
