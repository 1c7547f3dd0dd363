"""Which study to label next: strategies that order a cohort, and the facts about studies that they need.

Everything here is arithmetic on small numbers that were worked out before: choosing runs no model.
"""

from brainmvp.selection.coldstart import coldstart
from brainmvp.selection.hybrid import hybrid
from brainmvp.selection.pool import Facts, Place, Pool, Strategy
from brainmvp.selection.simple import random_order, sequential
from brainmvp.selection.uncertainty import uncertainty

STRATEGIES: dict[str, Strategy] = {
    "hybrid": hybrid,
    "coldstart": coldstart,
    "uncertainty": uncertainty,
    "random": random_order,
    "sequential": sequential,
}

__all__ = ["STRATEGIES", "Facts", "Place", "Pool"]
