"""How a volume is written for people: a small infarct of 0.04 mL is not 0.0.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""


def written_ml(volume: float) -> str:
    """Return a number of millilitres, not negative, with one decimal from 1 mL on, with two below."""
    if 0 < volume < 0.005:
        return "<0.01"
    return f"{volume:.1f}" if volume >= 1 else f"{volume:.2f}"


def written_change(volume: float) -> str:
    """Return by how many millilitres something grew, or, with a minus, shrank; no sign where that is below 0.01."""
    if 0 < abs(volume) < 0.005:
        return written_ml(abs(volume))
    return ("-" if volume < 0 else "+") + written_ml(abs(volume))
