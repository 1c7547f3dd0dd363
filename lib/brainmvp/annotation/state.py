"""The parts of an annotation's state, on one database."""

from collections.abc import Callable
from pathlib import Path

from brainmvp.annotation.cases import labelled_cases
from brainmvp.annotation.database import Database
from brainmvp.annotation.gate import HeldOutScores
from brainmvp.annotation.journal import Journal
from brainmvp.annotation.leases import LEASE_SECONDS, Leases
from brainmvp.annotation.scores import Scores
from brainmvp.case import Case
from brainmvp.study import Study, find_studies
from brainmvp.tasks import Task


class AnnotationState:
    """Leases, scores, journal and held-out Dice of a folder of studies, or of the studies of an archive.

    find: lists the studies, sorted by id, where they are not simply those below the folder.
    """

    def __init__(
        self,
        studies: Path,
        lease_seconds: float = LEASE_SECONDS,
        find: Callable[[], list[Study]] | None = None,
    ) -> None:
        self.studies = studies
        self._find = find or self._below
        self.database = Database(studies)
        self.leases = Leases(self.database, lease_seconds)
        self.scores = Scores(self.database)
        self.journal = Journal(self.database)
        self.held_out_scores = HeldOutScores(self.database)

    def cases(self, task: Task, tasks: tuple[Task, ...]) -> list[Case]:
        """Return the finally labelled studies of a task; `tasks`: see `labelled_cases`."""
        return labelled_cases(self._find(), self.studies, self.journal, task, tasks)

    def _below(self) -> list[Study]:
        return find_studies(self.studies, on_error=lambda folder, error: None)
