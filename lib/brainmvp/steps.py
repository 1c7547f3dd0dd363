"""How large the steps of a training are: the rate over its length, and the limit of the gradients."""

import math

# Norm of all gradients together: one odd study must not undo the others.
GRADIENT_LIMIT = 2.0


def rate(progress: float, step: int, warm_up: int = 60, flat: float = 0.0) -> float:
    """Return the share of the learning rate at progress 0…1: a linear warm-up, then a cosine to zero.

    flat: the progress at which it begins to fall.
    """
    fallen = (min(progress, 1.0) - flat) / (1 - flat)
    return min((step + 1) / warm_up, 1.0) * 0.5 * (1 + math.cos(math.pi * max(fallen, 0.0)))
