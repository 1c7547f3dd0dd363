"""A cohort: many studies, described by one JSON index that pretraining and fine-tuning read."""

from brainmvp.cohort.index import Image, Index, Session

__all__ = ["Image", "Index", "Session"]
