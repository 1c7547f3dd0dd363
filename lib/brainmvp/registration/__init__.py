"""Rigid registration of the sequences of a study, measured."""

from brainmvp.registration.alignment import Alignment, align, doubts
from brainmvp.registration.overlap import with_overlap
from brainmvp.registration.rigid import register

__all__ = ["Alignment", "align", "doubts", "register", "with_overlap"]
