"""Two visits of one patient: what has grown, what has shrunk."""

from brainmvp.comparison.change import Change, Comparison, compare
from brainmvp.comparison.visit import Visit

__all__ = ["Change", "Comparison", "Visit", "compare"]
