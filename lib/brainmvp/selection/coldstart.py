"""Before any label: typical studies of many kinds.

Clusters of the encoder's embeddings, and of each the most typical study: TypiClust (Hacohen et al., ICML 2022), which
COLosSAL (MICCAI 2023) found to be the choice to beat on medical volumes; in MedCAL-Bench (arXiv 2508.03441) others are
ahead. The clusters are Ward's (1963), so that more of them only split those before, and there is no draw.
"""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from brainmvp.selection.pool import Facts, Place, Pool, distances, embedded, unscored_last

# Neighbours that make a study typical (TypiClust, section 3.2).
_NEIGHBOURS = 20


def coldstart(pool: Pool) -> list[Place]:
    """Order the open studies so that every start of the order covers the cohort; labelled ones count as covered."""
    known = embedded(pool)
    is_open = {facts.id for facts in pool.open}
    if not known:
        return unscored_last(pool, [])
    places = [Place(*rest) for rest in _typical_of_clusters(known, is_open)]
    return [*places, *unscored_last(pool, known)]


def _typical_of_clusters(known: list[Facts], is_open: set[str]) -> list[tuple[str, float, str]]:
    embeddings = np.stack([facts.embedding for facts in known])
    apart = distances(embeddings, embeddings)
    covered = np.array([facts.id not in is_open for facts in known])
    tree = linkage(embeddings, "ward") if len(known) > 1 else None
    order = []
    while not covered.all():
        count = min(int(covered.sum()) + 1, len(known))
        cluster = np.ones(len(known), int) if tree is None else fcluster(tree, count, "maxclust")
        members = _largest_uncovered(cluster, covered)
        typicality = _typicality(apart[np.ix_(members, members)])
        typicality[covered[members]] = -np.inf
        best = int(typicality.argmax())
        index = int(members[best])
        alike = len(members) - 1
        reason = f"it is typical of {alike} similar studies" if alike > 0 else "no other study is like it"
        order.append((known[index].id, float(typicality[best]), f"{reason}, of which none is labelled yet"
                      if alike > 0 and not covered[members].any() else reason))  # fmt: skip
        covered[index] = True
    return order


def _largest_uncovered(cluster: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return the members of the cluster with the fewest covered studies, of those the largest (TypiClust)."""
    numbers = np.unique(cluster[~covered])

    def rank(number: int) -> tuple[int, int]:
        inside = cluster == number
        return int((inside & covered).sum()), -int(inside.sum())

    return np.flatnonzero(cluster == min(numbers, key=rank))


def _typicality(apart: np.ndarray) -> np.ndarray:
    """Return the inverse mean distance to the nearest members, (N,), of distances (N, N) inside a cluster."""
    if len(apart) == 1:
        return np.zeros(1)
    neighbours = np.sort(apart, axis=1)[:, 1 : _NEIGHBOURS + 1]
    return 1.0 / (neighbours.mean(1) + 1e-6)
