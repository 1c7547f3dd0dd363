"""The default: typical studies first, then doubtful ones that differ from what is labelled."""

import numpy as np

from brainmvp.selection.coldstart import coldstart, same_length
from brainmvp.selection.pool import Facts, Place, Pool, distances, unscored_last
from brainmvp.selection.uncertainty import noisy_log, unsure

# So many labels come from the cold start: before, the model's doubt says little about the cohort.
COLD_LABELS = 5


def hybrid(pool: Pool) -> list[Place]:
    """Order the open studies: the cold start's until there are labels, then by doubt times distance.

    The regions take turns as in `uncertainty`; the distance is that to the nearest study which is labelled or stands
    earlier in the order, so that a start of the order is a diverse batch.
    """
    known = [facts for facts in same_length([*pool.labelled, *pool.open]) if facts.entropy]
    is_open = {facts.id for facts in pool.open}
    candidates = [facts for facts in known if facts.id in is_open]
    if len(pool.labelled) < COLD_LABELS or not candidates:
        return coldstart(pool)
    covered = [facts for facts in same_length([*pool.labelled, *candidates]) if facts.id not in is_open]
    return [*_greedy(pool, candidates, covered), *unscored_last(pool, candidates)]


def _greedy(pool: Pool, candidates: list[Facts], covered: list[Facts]) -> list[Place]:
    own = np.stack([facts.embedding for facts in candidates])
    apart = distances(own, own)
    gap = np.full(len(candidates), 2.0)
    if covered:
        gap = distances(own, np.stack([facts.embedding for facts in covered])).min(1)
    regions = list(dict.fromkeys(region for facts in candidates for region in facts.entropy))
    doubt = {
        region: np.array([
            noisy_log(pool, facts, region) if region in facts.entropy else -np.inf for facts in candidates
        ])
        for region in regions
    }  # fmt: skip
    waiting = np.ones(len(candidates), bool)
    places: list[Place] = []
    turn = 0
    while waiting.any():
        region = regions[turn % len(regions)]
        turn += 1
        score = np.where(waiting, doubt[region] + np.log(gap + 1e-6), -np.inf)
        best = int(score.argmax())
        if not np.isfinite(score[best]):
            continue  # no waiting study shows this region
        facts = candidates[best]
        value = facts.entropy[region] * float(gap[best])
        reason = f"{unsure(facts, region)}, and it differs from what is labelled (distance {gap[best]:.2f})"
        places.append(Place(facts.id, round(value, 4), reason))
        waiting[best] = False
        gap = np.minimum(gap, apart[best])
    return places
