"""Synthetic multi-sequence brains with tumours and strokes, and their exact labels.

As in studies that were registered, one sequence in seven lies a millimetre or two off; not the diffusion scan that
strokes are labelled on.
"""

from brainmvp.phantom.generator import Phantom, make_phantom

__all__ = ["Phantom", "make_phantom"]
