"""The strategies of the library, as MONAI Label lists and calls them."""

from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from brainmvp.selection import STRATEGIES
from brainmvp_app.annotator import annotator_of
from brainmvp_app.choice import Chooser
from brainmvp_app.datastore import StudyDatastore

DEFAULT = "hybrid"
_DESCRIPTIONS = {
    "hybrid": "Studies the model is unsure about, unless a labelled one is much like them",
    "coldstart": "Typical studies of many kinds, by the encoder's embeddings; needs no label",
    "uncertainty": "Studies the model is unsure about, each structure in its turn",
    "random": "A random study without a final label",
    "sequential": "The next study by name",
}


class Choose(Strategy):
    """One strategy; the study goes to the annotator who asks, for the time of a lease."""

    def __init__(self, name: str, chooser: Chooser) -> None:
        super().__init__(_DESCRIPTIONS[name])
        self._name = name
        self._chooser = chooser

    def __call__(self, request: dict[str, Any], datastore: StudyDatastore) -> dict[str, Any]:
        """Return `{"id", "weight", "why", "lease"}` of the study to label next; without an id if none is free."""
        annotator = annotator_of(request)
        return self._chooser.choose(self._name, annotator, request.get("task"))


def make_strategies(chooser: Chooser) -> dict[str, Strategy]:
    """Return every strategy by name, and the default one once more as `default`."""
    strategies: dict[str, Strategy] = {name: Choose(name, chooser) for name in STRATEGIES}
    return strategies | {"default": strategies[DEFAULT]}
