"""Two visits of one patient: what has grown, what has shrunk."""

from brainmvp.comparison.change import Comparison, compare
from brainmvp.comparison.visit import Visit

__all__ = ["Comparison", "Visit", "compare"]
