"""What a series is, and why.

This module is shared with 3D Slicer: Python 3.9 syntax, standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from brainmvp.sequences import Sequence


@dataclass(frozen=True)
class Verdict:
    """What a series is.

    sequence: None where it is none that is used; what: the sequence's name, or the kind of thing it is instead
    ("localiser"); why: the facts that say so; contradictions: what in the header speaks against it.
    """

    sequence: Sequence | None
    what: str
    why: str
    contradictions: tuple[str, ...] = ()
