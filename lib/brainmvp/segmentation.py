"""What a model found in a study, and how it is written down."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from brainmvp.brain import Brain
from brainmvp.card import NOTICE
from brainmvp.coverage import CUT, ENOUGH
from brainmvp.dicom.series import DicomImage
from brainmvp.errors import BrainMVPError
from brainmvp.picture import draw_segmentation
from brainmvp.prepare import flagged_of
from brainmvp.registration import Alignment
from brainmvp.registration.picture import draw_alignments
from brainmvp.segnrrd import write_seg_nrrd
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import Region, Task
from brainmvp.volume import Volume, write_volume


@dataclass(frozen=True)
class Segmentation:
    """What a model found in a study.

    labels: uint8, on the reference's original grid with its affine; probabilities: (X, Y, Z) float32 by region;
    uncertainty: (X, Y, Z) float32, 0…1; left_out: why a structure is not offered, by region; label_names: what
    each value means in this result; volumes_ml: by label name; brain: on the reference's grid; seconds, peak_gib: by
    step; alignments: how each other sequence was put onto the reference, by sequence; cut: whether the finding touches
    the edge of the scan; weakness: what the model's card says of a result from these sequences only; minimum_lesion_ml:
    smaller pieces are not marked, 0: all are.
    """

    study: Study
    task: Task
    model: str
    labels: Volume
    probabilities: dict[str, np.ndarray]
    uncertainty: np.ndarray
    reference: Sequence
    used: tuple[Sequence, ...]
    filled: tuple[Sequence, ...]
    left_out: dict[str, str]
    label_names: dict[int, str]
    brain: Brain
    seconds: dict[str, float] = field(default_factory=dict)
    peak_gib: dict[str, float] = field(default_factory=dict)
    alignments: dict[Sequence, Alignment] = field(default_factory=dict)
    cut: bool = False
    weakness: str | None = None
    minimum_lesion_ml: float = 0.0

    @property
    def flagged(self) -> dict[Sequence, str]:
        """Why a sequence that was scanned was not used."""
        return flagged_of(self.study, self.filled, self.alignments)

    @property
    def notes(self) -> list[str]:
        """What to know about a result from these scans, a sentence each without its full stop.

        That nothing marked is no proof, what the model misses with them, what no model can tell from them, how much of
        the brain they cover, and what is odd about DICOM series.
        """
        weak, cut = [self.weakness] if self.weakness else [], [CUT] if self.cut else []
        weak += self.task.weaknesses(self.probabilities, self.used)
        return [*self._nothing(), *weak, *self._not_scanned(), *cut, *self.study.notes(self.used)]

    def _nothing(self) -> Iterator[str]:
        if self.labels.data.any():
            return
        unsure = self.mean_uncertainty is not None
        yield f"nothing is marked{', though something might be there' * unsure}: that is no proof of absence"

    def _not_scanned(self) -> Iterator[str]:
        alignments = {s: self.alignments[s] for s in self.used if s in self.alignments}
        covered = {s: a.covered for s, a in alignments.items() if a.covered is not None}
        if covered and (least := min(covered.values())) < ENOUGH:
            other = next(s for s in covered if covered[s] == least)
            share = f"{self.reference} covers {100 * least:.0f} % of the brain that {other} shows"
            yield f"{share}: what lies outside is not measured"
        for sequence, alignment in alignments.items():
            if alignment.covers is not None and alignment.covers < ENOUGH:
                needing = [r.title for r in self.task.regions if sequence in r.requires]
                lost = f": outside, {' and '.join(needing)} cannot be seen" if needing else ""
                yield f"{sequence} covers {100 * alignment.covers:.0f} % of the brain{lost}"

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each label, millilitres."""
        return {
            name: round(float(np.count_nonzero(self.labels.data == value) * self.labels.voxel_ml), 3)
            for value, name in self.label_names.items()
        }

    @property
    def regions_ml(self) -> dict[str, float]:
        """Volume of each offered region, millilitres."""
        masks = self.task.regions_of(self.labels.data)
        return {
            name: round(float(masks[name].sum() * self.labels.voxel_ml), 3) for name in self.probabilities
        }

    @property
    def measured_ml(self) -> dict[str, float]:
        """Volume of each offered region, and of each label that is not one by itself, by what a reader calls it."""
        volumes, told = self.regions_ml, {self.label_of(region) for region in self.offered}
        regions = {region.measured_as or region.title: volumes[region.name] for region in self.offered}
        return regions | {name: ml for name, ml in self.volumes_ml.items() if name not in told}

    @property
    def offered(self) -> list[Region]:
        """The regions of the task that this result has."""
        return [region for region in self.task.regions if region.name in self.probabilities]

    def label_of(self, region: Region) -> str | None:
        """Return the name of the label that a region is, or stands for; one of several labels has the name of none."""
        return self.label_names.get(region.labels[0]) if len(region.labels) == 1 else region.title

    @property
    def brain_ml(self) -> float:
        """Volume of the brain mask, millilitres."""
        return round(float(self.brain.mask.sum() * self.labels.voxel_ml), 1)

    @property
    def mean_uncertainty(self) -> float | None:
        """Mean uncertainty over the voxels that are marked, or that might be (above one half); None without any."""
        inside = (self.labels.data > 0) | (self.uncertainty > 0.5)
        return round(float(self.uncertainty[inside].mean()), 4) if inside.any() else None

    @property
    def uncertainty_in_words(self) -> str:
        """The same, for a reader."""
        mean = self.mean_uncertainty
        if mean is None:
            return "nothing is marked and nothing is likely"
        where = "is marked or might be" if self.labels.data.any() else "might be there"
        return f"{mean:.2f} where something {where} (0: sure, 1: a toss-up)"

    def report(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        return {
            "study": self.study.id,
            "task": self.task.name,
            "model": self.model,
            "made": date.today().isoformat(),
            "notice": NOTICE,
            "reference": str(self.reference),
            "sequences_used": [str(sequence) for sequence in self.used],
            "sequences_filled": [str(sequence) for sequence in self.filled],
            "sequences_flagged": {str(sequence): reason for sequence, reason in self.flagged.items()},
            "notes": self.notes,
            "alignments": {str(sequence): a.report() for sequence, a in self.alignments.items()},
            "brain_from": self.brain.source,
            "brain_ml": self.brain_ml,
            "brain_doubt": self.brain.doubt,
            "left_out": self.left_out,
            "label_names": {str(value): name for value, name in self.label_names.items()},
            "volumes_ml": self.volumes_ml,
            "regions_ml": self.regions_ml,
            "minimum_lesion_ml": self.minimum_lesion_ml,
            "mean_uncertainty": self.mean_uncertainty,
            "seconds": {step: round(value, 3) for step, value in self.seconds.items()},
            "peak_gib": {step: round(value, 3) for step, value in self.peak_gib.items()},
        }

    def save(self, path: str | Path) -> Path:
        """Write the label map: `.seg.nrrd` with names, colours and codes for Slicer, a plain `.nii.gz`, or DICOM SEG.

        `.dcm` is DICOM SEG, for a study that is DICOM. Raises `BrainMVPError` if it is not.
        """
        path = Path(path)
        if path.name.lower().endswith(".dcm"):
            return self._save_dicom(path)
        if path.name.lower().endswith(".seg.nrrd"):
            return write_seg_nrrd(self.labels, self.task, path, self.label_names)
        return write_volume(self.labels, path)

    @property
    def dicom_reference(self) -> DicomImage | None:
        """The DICOM series that the segmentation lies on, if it lies on one."""
        image = self.study.images[self.reference]
        return image if isinstance(image, DicomImage) else None

    def _save_dicom(self, path: Path) -> Path:
        from brainmvp.dicom.seg import write_dicom_seg

        image = self.dicom_reference
        if image is None:
            raise BrainMVPError(
                f"{self.study.id} is not DICOM, so there is no series for a DICOM SEG to refer to; "
                "write .seg.nrrd instead."
            )
        return write_dicom_seg(self.labels, image, self.task, path, self.label_names, self.model)

    def save_uncertainty(self, path: str | Path) -> Path:
        """Write the voxel-wise uncertainty, 0…1."""
        return write_volume(Volume(self.uncertainty, self.labels.affine), path)

    def save_picture(self, path: str | Path) -> Path:
        """Draw the sequences that were used with the outlines of the structures."""
        worlds = {sequence: a.world for sequence, a in self.alignments.items()}
        return draw_segmentation(
            self.study.only((self.reference, *self.used)),
            self.labels,
            self.task,
            path,
            self.label_names,
            self.reference,
            worlds,
            self.brain.mask,
        )

    def save_alignment_picture(self, path: str | Path) -> Path:
        """Draw how each sequence lies on the reference; what is in doubt is marked."""
        return draw_alignments(self.study, self.reference, self.alignments, path, self.brain.mask)
