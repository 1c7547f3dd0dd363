"""Where the model is unsure about what it is there to find.

ClaSP PE (Lüth et al., TMLR 2026, arXiv 2601.13677): predictive entropy, asked for class by class, so that the rarest
structure gets its turn, with noise on the logarithm of the score that fades as labels come in, so that early choices
are not all alike. The paper chooses patches; here a whole study is one choice, so its entropy is the mean over the
voxels where a region is or might be: background, which drowns small lesions, does not count.
"""

import numpy as np

from brainmvp.selection.pool import Facts, Place, Pool, doubted, unscored_last
from brainmvp.uncertainty import binary_entropy

# Below this probability a voxel is background to the region.
_POSSIBLE = 0.1
# Millilitres of certainty added to each mean: a few doubtful voxels do not make a doubtful study.
_CERTAIN_ML = 0.5
# The power of the score: Gumbel noise of scale 1 / power (Kirsch et al., PowerBALD, 2021). It grows geometrically
# from the first to the last value while the labels come in; the paper's schedule has this form, the numbers are ours.
_POWER = (1.0, 100.0)
_FULL_POWER_AT = 40


def region_entropies(probabilities: dict[str, np.ndarray], voxel_ml: float) -> dict[str, float]:
    """Return by region the mean entropy, bits, over the voxels that are or might be of it, of (X, Y, Z) maps."""
    result = {}
    for name, values in probabilities.items():
        possible = values[values > _POSSIBLE]
        certain = _CERTAIN_ML / voxel_ml
        result[name] = float(binary_entropy(possible).sum() / (possible.size + certain))
    return result


def uncertainty(pool: Pool) -> list[Place]:
    """Order the open studies by noisy entropy, the regions taking turns."""
    known = doubted(pool)
    regions = list(dict.fromkeys(region for facts in known for region in facts.entropy))
    by_region = {
        region: sorted(
            (facts for facts in known if region in facts.entropy),
            key=lambda facts, region=region: (-noisy_log(pool, facts, region), facts.id),
        )
        for region in regions
    }
    places: dict[str, Place] = {}
    turn = 0
    while len(places) < len(known):
        region = regions[turn % len(regions)]
        turn += 1
        best = next((facts for facts in by_region[region] if facts.id not in places), None)
        if best:
            places[best.id] = Place(best.id, round(best.entropy[region], 4), unsure(best, region))
    return [*places.values(), *unscored_last(pool, known)]


def noisy_log(pool: Pool, facts: Facts, region: str) -> float:
    """Return the logarithm of a study's entropy with the noise of the moment."""
    noise = -np.log(-np.log(pool.draw(facts.id, f"power {region} {len(pool.labelled)}")))
    return float(np.log(facts.entropy[region] + 1e-6) + noise / power(len(pool.labelled)))


def power(labels: int) -> float:
    """Return the power of the score at a number of labels."""
    first, last = _POWER
    return first * (last / first) ** min(labels / _FULL_POWER_AT, 1.0)


def unsure(facts: Facts, region: str) -> str:
    """Return the reason that names a region and its entropy."""
    return f"the model is unsure about {region} in it (mean entropy {facts.entropy[region]:.2f} bit)"
