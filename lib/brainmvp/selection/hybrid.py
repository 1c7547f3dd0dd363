"""The default: where the model is unsure, unless a labelled study is much like it already."""

import numpy as np

from brainmvp.selection.coldstart import coldstart
from brainmvp.selection.pool import Facts, Place, Pool, distances, doubted, embedded, unscored_last


def hybrid(pool: Pool) -> list[Place]:
    """Order the open studies by doubt, less where a labelled study or one earlier in the order is much like it.

    The doubt is that of the model that is served, also before the first label: it is no cold start. It is the mean over
    the regions that a study can show of the mean entropy where a region might be, so that small regions count as much
    as large ones (class by class, as ClaSP PE, arXiv 2601.13677), a study in which nothing is found comes late, and one
    without some sequence has its turn. Doubt alone would ask for
    alike studies one after the other (Suggestive Annotation, Yang et al., MICCAI 2017). So it is multiplied by the
    distance to the nearest that is labelled, in units of that between usual neighbours and no more than one, since
    whatever rewards being far away ends up with outliers.

    Where no model finds anything the order is that of `coldstart`, which then says so.
    """
    is_open = {facts.id for facts in pool.open}
    known, unsure = embedded(pool), {facts.id for facts in doubted(pool)}
    candidates = [facts for facts in known if facts.id in unsure]
    if not any(_doubt(facts) for facts in candidates):
        return _without_a_model(pool)
    return [*_by_doubt(candidates, known, is_open), *unscored_last(pool, candidates)]


def _without_a_model(pool: Pool) -> list[Place]:
    scored = {facts.id for facts in pool.open if facts.embedding is not None}
    note = "; no model is unsure about any study yet"
    return [
        Place(place.id, place.score, place.reason + (note if place.id in scored else ""))
        for place in coldstart(pool)
    ]


def _doubt(facts: Facts) -> float:
    return sum(facts.entropy.values()) / max(len(facts.entropy), 1)


def _by_doubt(candidates: list[Facts], known: list[Facts], is_open: set[str]) -> list[Place]:
    own = np.stack([facts.embedding for facts in candidates])
    apart = distances(own, own)
    usual = _usual_distance(np.stack([facts.embedding for facts in known]))
    # How near the nearest is that is labelled or stands earlier in the order.
    gap = np.full(len(candidates), np.inf)
    if covered := [facts.embedding for facts in known if facts.id not in is_open]:
        gap = distances(own, np.stack(covered)).min(1)
    doubt = np.array([_doubt(facts) for facts in candidates])
    waiting = np.ones(len(candidates), bool)
    places: list[Place] = []
    while waiting.any():
        new = np.minimum(gap / usual, 1.0)
        best = int(np.where(waiting, doubt * new, -1.0).argmax())
        score = round(float(doubt[best] * new[best]), 4)
        places.append(Place(candidates[best].id, score, _reason(candidates[best], float(new[best]))))
        waiting[best] = False
        gap = np.minimum(gap, apart[best])
    return places


def _usual_distance(embeddings: np.ndarray) -> float:
    """Return the median distance from a study to the one most like it."""
    if len(embeddings) < 2:
        return 1.0
    apart = distances(embeddings, embeddings)
    np.fill_diagonal(apart, np.inf)
    return max(float(np.median(apart.min(1))), 1e-6)


def _reason(facts: Facts, new: float) -> str:
    regions = ", ".join(f"{name} {bits:.2f}" for name, bits in facts.entropy.items())
    if new < 1:
        known = f"one that is labelled or comes before it is more like it than usual ({1 - new:.0%} nearer)"
    else:
        known = "nothing that is labelled or comes before it is unusually like it"
    return f"the model is unsure in it (mean entropy, bit: {regions}), and {known}"
