"""What a strategy sees, and what it answers."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Facts:
    """What is known of a study.

    embedding: (D,) float32 of length 1, see `embed`, by `encoder`; entropy: by region, see `region_entropies`, of
    `model`. Both are empty until the study has been scored, and stay so if that failed.
    """

    id: str
    embedding: np.ndarray | None = None
    entropy: dict[str, float] = field(default_factory=dict)
    failed: bool = False
    model: str = ""
    encoder: str = ""


@dataclass(frozen=True)
class Pool:
    """A cohort at one moment: the studies without a final label, those with one, and the seed of every draw."""

    open: tuple[Facts, ...]
    labelled: tuple[Facts, ...] = ()
    seed: int = 0

    def draw(self, study: str, purpose: str) -> float:
        """Return a number in 0…1 that seed, purpose and study fix: it stays when other studies come or go."""
        digest = hashlib.sha256(f"{self.seed}:{purpose}:{study}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") + 0.5) / 2**64


@dataclass(frozen=True)
class Place:
    """A study's place in an order: the score that put it there (larger is earlier), and why, in words.

    reason completes the sentence "This study was chosen because …".
    """

    id: str
    score: float
    reason: str


def embedded(pool: Pool) -> list[Facts]:
    """Return the studies, labelled ones first, whose embeddings are of one encoder: that of most of the open ones.

    After a new version of it the studies are embedded anew one by one: vectors of two encoders tell no distance.
    """
    found = [facts for facts in (*pool.labelled, *pool.open) if facts.embedding is not None]
    encoder = _commonest(facts.encoder for facts in pool.open if facts.embedding is not None)
    return [facts for facts in found if facts.encoder == encoder]


def doubted(pool: Pool) -> list[Facts]:
    """Return the open studies whose entropies are of one model, that of most of them: another one doubts otherwise."""
    found = [facts for facts in pool.open if facts.entropy]
    model = _commonest(facts.model for facts in found)
    return [facts for facts in found if facts.model == model]


def _commonest(names: Iterable[str]) -> str | None:
    return next((name for name, _ in Counter(names).most_common(1)), None)


# Orders the open studies of a pool, the best first: studies taken from the start are a good batch.
Strategy = Callable[[Pool], list[Place]]


def unscored_last(pool: Pool, known: list[Facts]) -> list[Place]:
    """Return the places of the open studies that are not among the known ones, in a fixed random order."""
    names = {facts.id for facts in known}
    rest = [facts for facts in pool.open if facts.id not in names]
    rest.sort(key=lambda facts: pool.draw(facts.id, "rest"))
    return [
        Place(facts.id, 0.0, f"it {'could not be' if facts.failed else 'has not been'} scored"
              f"{'' if facts.failed else ' yet'}, so it was drawn by chance")
        for facts in rest
    ]  # fmt: skip


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine distances (N, M), 0…2, of embeddings (N, D) and (M, D)."""
    return np.clip(1.0 - first @ second.T, 0.0, 2.0)


def nearest_labelled(pool: Pool, study: str) -> str | None:
    """Return the labelled study whose embedding is nearest, or None where there is none or no embedding yet."""
    own = next((facts for facts in pool.open if facts.id == study and facts.embedding is not None), None)
    others = [facts for facts in pool.labelled if facts.embedding is not None]
    others = [facts for facts in others if own and facts.encoder == own.encoder]
    if not others:
        return None
    nearest = distances(own.embedding[None], np.stack([facts.embedding for facts in others])).argmin()
    return others[int(nearest)].id
