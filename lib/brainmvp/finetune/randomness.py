"""Random numbers that depend on where a run is and on nothing else, so that a stopped run goes on to the same end."""

import numpy as np
import torch


def generator(seed: int, *place: int) -> torch.Generator:
    """Return a CPU generator for a place in a run, such as (epoch, step, sample)."""
    state = np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def chance(generator: torch.Generator) -> float:
    """Return a number in 0…1."""
    return float(torch.rand((), generator=generator))


def between(low: int, high: int, generator: torch.Generator) -> int:
    """Return a whole number in low…high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
