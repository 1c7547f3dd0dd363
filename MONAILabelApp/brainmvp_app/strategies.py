"""Which study to label next."""

import hashlib
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from brainmvp_app.datastore import StudyDatastore


class RandomOrder(Strategy):
    """A random order that a seed fixes, over the studies without a final label.

    Each study has its place from a hash of seed and id, so it keeps it when others come or go. A study that was
    proposed already comes back only after those that were not, so asking again does not give the same one.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__("A random study without a final label")
        self.seed = seed

    def __call__(self, request: dict[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """Return `{"id", "weight"}` of the study to label next, or None if all are labelled."""
        studies = datastore.get_unlabeled_images()
        if not studies:
            return None

        def place(study: str) -> tuple[float, int]:
            proposed = datastore.notes(study).get("strategy", {}).get(request.get("strategy", "random"), {})
            return proposed.get("ts", 0), self._rank(study)

        chosen = min(studies, key=place)
        return {"id": chosen, "weight": self._rank(chosen) / 2**64}

    def _rank(self, study: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}:{study}".encode()).digest()[:8], "big")
