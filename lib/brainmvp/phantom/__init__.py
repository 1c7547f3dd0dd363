"""Synthetic multi-sequence brains with tumours and strokes, and their exact labels."""

from brainmvp.phantom.generator import Phantom, make_phantom

__all__ = ["Phantom", "make_phantom"]
