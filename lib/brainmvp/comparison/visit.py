"""One visit: its scans and the segmentation of them, made here or given."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainmvp.case import Case, read_label
from brainmvp.coverage import CUT, is_cut
from brainmvp.segmentation import Segmentation
from brainmvp.segnrrd import named_values
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.volume import Volume, read_volume


@dataclass(frozen=True)
class Visit:
    """A study and its label map, which lies on the grid of the sequence `reference`.

    labels: (X, Y, Z) uint8, values of the task; regions: the names of those that it tells apart; source: the model that
    made it, or that it was given; used: the sequences that it was made from, or could have been; doubts: what to look
    at, a sentence each; brain: (X, Y, Z) bool on the labels' grid, or None where it was not looked for; unsaid: those
    of the regions that it marks nothing of and does not name; minimum_lesion_ml: as in `Segmentation`.
    """

    study: Study
    labels: Volume
    reference: Sequence
    regions: tuple[str, ...]
    source: str
    used: tuple[Sequence, ...]
    doubts: tuple[str, ...] = ()
    brain: np.ndarray | None = None
    unsaid: tuple[str, ...] = ()
    minimum_lesion_ml: float = 0.0

    @property
    def name(self) -> str:
        """The study's id, with the day of the scan where it is known."""
        return f"{self.study.id} ({day})" if (day := self.study.taken.day) else self.study.id

    @classmethod
    def of_result(cls, result: Segmentation) -> "Visit":
        """Return the visit of a segmentation."""
        regions = tuple(result.probabilities)
        doubts = [f"{s} is not used, {why}." for s, why in result.flagged.items()]
        if result.brain.doubt:
            doubts.append(f"look at the brain: {result.brain.doubt}.")
        doubts += [f"{note}." for note in result.notes]
        return cls(
            result.study, result.labels, result.reference, regions, result.model, result.used, tuple(doubts),
            result.brain.mask, minimum_lesion_ml=result.minimum_lesion_ml,
        )  # fmt: skip

    @classmethod
    def of_file(cls, study: Study, task: Task, labels: Path) -> "Visit":
        """Return the visit of a label map of any known convention.

        It tells apart the regions that its sequences can show, and others only if it has some of them: without T1CE,
        no core in the label map does not mean that there is none. Where it has segments, they have to name them.

        Raises `BrainMVPError` if the file cannot be read, has values unknown to the task, or lies on the grid of none
        of the study's sequences.
        """
        volume, reference = read_label(task, Case(study, labels))
        shown, _ = task.offered(set(study.images))
        named = named_values(labels, task)
        marked = {name for name, mask in task.regions_of(volume.data).items() if mask.any()}
        told = tuple(
            region.name
            for region in task.regions
            if region.name in marked
            or (region in shown and (named is None or named.intersection(region.labels)))
        )
        unsaid = tuple(name for name in told if named is None and name not in marked)
        used = tuple(sequence for sequence in task.sequences if sequence in study.images)
        notes = [CUT] if is_cut(volume.data > 0, read_volume(study.images[reference])) else []
        doubts = tuple(f"{note}." for note in [*notes, *study.notes(used)])
        source = "hand or another program"
        return cls(study, volume, reference, told, source, used, doubts, unsaid=unsaid)
