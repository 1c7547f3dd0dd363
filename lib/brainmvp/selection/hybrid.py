"""The default: typical studies first, then those that stand for the most doubt that no labelled study covers."""

import numpy as np

from brainmvp.selection.coldstart import coldstart, same_length
from brainmvp.selection.pool import Facts, Place, Pool, distances, unscored_last
from brainmvp.selection.uncertainty import unsure

# So many labels come from the cold start: before, the model's doubt says little about the cohort.
COLD_LABELS = 5
# From then on the doubt counts more with every label, in full at this number; before it is coverage that counts.
TRUSTED_AT = 25


def hybrid(pool: Pool) -> list[Place]:
    """Order the open studies: the cold start's until there are labels, then by the doubt that a label would cover.

    A label covers the studies that are nearer to it than to any other labelled one. Each study counts with its doubt,
    and the next one is that which brings most of it nearer: an outlier stands for itself only, and of two alike one is
    enough. (Greedy maximisation of uncertainty-weighted coverage: Uncertainty Herding, Bae et al., ICLR 2025.) The
    regions take turns as in `uncertainty`.
    """
    is_open = {facts.id for facts in pool.open}
    known = same_length([*pool.labelled, *pool.open])
    candidates = [facts for facts in known if facts.id in is_open and facts.entropy]
    if len(pool.labelled) < COLD_LABELS or not candidates:
        return coldstart(pool)
    covered = [facts for facts in known if facts.id not in is_open]
    return [*_greedy(candidates, covered, trust(len(pool.labelled))), *unscored_last(pool, candidates)]


def trust(labels: int) -> float:
    """Return how much the doubt of a model that learned from so many labels counts, 0…1."""
    return float(np.clip((labels - COLD_LABELS) / (TRUSTED_AT - COLD_LABELS), 0.0, 1.0))


def _greedy(candidates: list[Facts], covered: list[Facts], trusted: float) -> list[Place]:
    own = np.stack([facts.embedding for facts in candidates])
    apart = distances(own, own)
    # How far each is from what is labelled or stands earlier in the order.
    gap = np.full(len(candidates), apart.max() + 1e-3)
    if covered:
        gap = distances(own, np.stack([facts.embedding for facts in covered])).min(1)
    regions = list(dict.fromkeys(region for facts in candidates for region in facts.entropy))
    doubt = {region: np.array([facts.entropy.get(region, 0.0) for facts in candidates]) for region in regions}
    waiting = np.ones(len(candidates), bool)
    places: list[Place] = []
    while waiting.any():
        region = regions[len(places) % len(regions)]
        nearer = np.maximum(gap[None] - apart, 0)  # of the second study, if the first one were labelled
        worth = nearer @ (doubt[region] + 1e-6) ** trusted
        best = int(np.where(waiting, worth, -1.0).argmax())
        facts, alike = candidates[best], int((nearer[best] > 0).sum()) - 1
        stands = f"{max(alike, 0)} more like it that no label covers as well (distance {gap[best]:.2f})"
        places.append(
            Place(facts.id, round(float(worth[best]), 4), f"{unsure(facts, region)}, and there are {stands}")
        )
        waiting[best] = False
        gap = np.minimum(gap, apart[best])
    return places
