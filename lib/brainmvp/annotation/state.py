"""The parts of an annotation's state, on one database."""

from pathlib import Path

from brainmvp.annotation.database import Database
from brainmvp.annotation.gate import HeldOutScores
from brainmvp.annotation.journal import Journal
from brainmvp.annotation.leases import LEASE_SECONDS, Leases
from brainmvp.annotation.scores import Scores


class AnnotationState:
    """Leases, scores, journal and held-out Dice of a folder of studies."""

    def __init__(self, studies: Path, lease_seconds: float = LEASE_SECONDS) -> None:
        self.studies = studies
        self.database = Database(studies)
        self.leases = Leases(self.database, lease_seconds)
        self.scores = Scores(self.database)
        self.journal = Journal(self.database)
        self.held_out_scores = HeldOutScores(self.database)
