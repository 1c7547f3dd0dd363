"""From a study to its segmentation on the reference's own grid."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from brainmvp.calibration import temper
from brainmvp.cleaning import fill_enclosed, without_specks
from brainmvp.clock import Clock
from brainmvp.dicom.series import DicomImage
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.picture import draw_segmentation
from brainmvp.prepare import Prepared, prepare
from brainmvp.registration import Alignment
from brainmvp.registration.picture import draw_alignments
from brainmvp.segnrrd import write_seg_nrrd
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, put_back
from brainmvp.study import Study
from brainmvp.tasks import Region, Task, get_task
from brainmvp.uncertainty import voxel_uncertainty
from brainmvp.volume import Volume, write_volume

# The encoders halve the grid four times.
_STRIDE = 16

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Segmentation:
    """What a model found in a study.

    labels: uint8, on the reference's original grid with its affine; probabilities: (X, Y, Z) float32 by region;
    uncertainty: (X, Y, Z) float32, 0…1; left_out: why a structure is not offered, by region; label_names: what
    each value means in this result; volumes_ml: by label name; seconds, peak_gib: by step; alignments: how each other
    sequence was put onto the reference, by sequence.
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
    seconds: dict[str, float] = field(default_factory=dict)
    peak_gib: dict[str, float] = field(default_factory=dict)
    alignments: dict[Sequence, Alignment] = field(default_factory=dict)

    @property
    def flagged(self) -> dict[Sequence, str]:
        """Why a sequence that is there was not used."""
        return {s: a.doubt for s, a in self.alignments.items() if a.doubt is not None}

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each label, millilitres."""
        counts = np.bincount(self.labels.data.ravel(), minlength=256)
        return {
            name: round(float(counts[value] * self.labels.voxel_ml), 3)
            for value, name in self.label_names.items()
        }

    @property
    def regions_ml(self) -> dict[str, float]:
        """Volume of each offered region, millilitres."""
        masks = dict(
            zip((r.name for r in self.task.regions), self.task.regions_of(self.labels.data), strict=True)
        )
        return {
            name: round(float(masks[name].sum() * self.labels.voxel_ml), 3) for name in self.probabilities
        }

    @property
    def mean_uncertainty(self) -> float:
        """Mean uncertainty over the voxels that are marked, or that might be (uncertainty above one half)."""
        inside = (self.labels.data > 0) | (self.uncertainty > 0.5)
        return round(float(self.uncertainty[inside].mean()), 4) if inside.any() else 0.0

    def report(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        return {
            "study": self.study.id,
            "task": self.task.name,
            "model": self.model,
            "reference": str(self.reference),
            "sequences_used": [str(sequence) for sequence in self.used],
            "sequences_filled": [str(sequence) for sequence in self.filled],
            "sequences_flagged": {str(sequence): reason for sequence, reason in self.flagged.items()},
            "alignments": {str(sequence): a.report() for sequence, a in self.alignments.items()},
            "left_out": self.left_out,
            "label_names": {str(value): name for value, name in self.label_names.items()},
            "volumes_ml": self.volumes_ml,
            "regions_ml": self.regions_ml,
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
        """Draw the sequences with the outlines of the structures."""
        worlds = {sequence: a.world for sequence, a in self.alignments.items()}
        return draw_segmentation(
            self.study, self.labels, self.task, path, self.label_names, self.reference, worlds
        )

    def save_alignment_picture(self, path: str | Path) -> Path:
        """Draw how each sequence lies on the reference; what is in doubt is marked."""
        return draw_alignments(self.study, self.reference, self.alignments, path)


class Segmenter:
    """A model version, ready to segment studies; safe to share between threads."""

    def __init__(self, model: Model, device: str = "auto") -> None:
        if model.card.kind != "segmentation" or model.card.task is None:
            raise BrainMVPError(
                f"{model.card.id} is no segmentation model ({model.card.kind}); choose another."
            )
        self.card = model.card
        self.task = get_task(model.card.task)
        self.device = pick_device(device)
        self._temperatures = torch.tensor(
            [self.card.temperatures.get(name, 1.0) for name in self.card.regions]
        )
        self.network = model.load_network().to(self.device, memory_format=torch.channels_last_3d)

    @classmethod
    def load(
        cls, task: str, model: str | None = None, device: str = "auto", store: ModelStore | None = None
    ) -> "Segmenter":
        """Return the segmenter of a task, with its served model or the one named (`NAME` or `NAME@VERSION`).

        Raises `BrainMVPError` if there is no such task or model, or the model is of another task.
        """
        get_task(task)
        found = (store or ModelStore()).resolve(model or task)
        if found.card.task != task:
            raise BrainMVPError(
                f"{found.card.id} is a model for {found.card.task}, not for {task}; choose another."
            )
        return cls(found, device)

    def segment(
        self, study: Study, reference: Sequence | None = None, progress: Progress | None = None
    ) -> Segmentation:
        """Segment a study.

        Missing sequences are filled with zeros and named in the result; a structure whose sequences are not there
        is left out. `progress(step, fraction)` is called as the work goes on. Raises `BrainMVPError` if the study
        is below the task's minimum or a file cannot be used.
        """
        tell = progress or (lambda step, fraction: None)
        available = set(study.images) & set(self.card.sequences)
        self.task.check_sequences(available, study.id)
        chosen = study.reference(self.task, reference)
        clock = Clock()

        tell("Reading and aligning", 0.0)
        prepared = prepare(study, self.card.sequences, chosen, self.card.spacing, clock=clock)
        regions, left_out = self._offered(prepared, study)

        tell("Segmenting", 0.3)
        with torch.inference_mode():
            probabilities = predict(
                self.network, prepared.images, self.card.window, self.card.overlap, self._temperatures
            )
        probabilities[:, ~prepared.brain] = 0
        clock.lap("network")

        tell("Returning to the native grid", 0.8)
        offered = [self.card.regions.index(region.name) for region in regions]
        target = Grid(prepared.reference.shape, prepared.reference.affine)
        native = put_back(probabilities[offered], prepared.grid, target)
        if self.task.nested:
            for inner, outer in zip(native[1:], native, strict=False):
                np.minimum(
                    inner, outer, out=inner
                )  # a region lies inside the one before: so do their probabilities
        else:
            native *= native == native.max(0)  # one tissue per voxel, the most probable one
        by_region = {region.name: native[index] for index, region in enumerate(regions)}
        labels = self._labels(by_region, prepared.reference)
        uncertainty = voxel_uncertainty(native)
        clock.lap("restore")
        tell("Done", 1.0)
        return Segmentation(
            study, self.task, self.card.id, labels, by_region, uncertainty, chosen, prepared.used, prepared.filled,
            left_out, self.task.label_names(list(by_region)), clock.seconds, clock.peak_gib,
            prepared.alignments,
        )  # fmt: skip

    def _offered(self, prepared: Prepared, study: Study) -> tuple[list[Region], dict[str, str]]:
        """Return what can be offered with the sequences that could be aligned, and why the rest cannot."""
        try:
            self.task.check_sequences(set(prepared.used), study.id)
        except BrainMVPError as error:
            reasons = "; ".join(f"{sequence}: {reason}" for sequence, reason in prepared.flagged.items())
            raise BrainMVPError(
                f"{error} Not usable because they do not align with {prepared.reference_sequence}: {reasons}."
            ) from error
        return self.task.offered(set(prepared.used))

    def _labels(self, probabilities: dict[str, np.ndarray], reference: Volume) -> Volume:
        masks = {name: values > self.card.thresholds.get(name, 0.5) for name, values in probabilities.items()}
        for outer, region in zip(self.task.regions, self.task.regions[1:], strict=False):
            if region.filled and region.name in masks:
                masks[region.name] = fill_enclosed(masks[region.name], reference.spacing)
                masks[outer.name] |= masks[region.name]
        smallest = self.card.minimum_lesion_ml / reference.voxel_ml
        if smallest > 1:
            outermost = next(iter(masks))
            masks[outermost] = without_specks(masks[outermost], smallest)
        return Volume(self.task.labels_of(masks), reference.affine)


def predict(
    network: nn.Module,
    images: Tensor,
    window: tuple[int, int, int],
    overlap: float = 0.5,
    temperatures: Tensor | None = None,
) -> np.ndarray:
    """Return region probabilities (R, X, Y, Z) of prepared images (C, X, Y, Z), window by window.

    temperatures: (R,), what the logits are divided by (see `brainmvp.calibration`); ones where None. The network
    stays on its device; images smaller than the window are padded to its stride only.
    """
    device = next(network.parameters()).device
    inputs = images[None].to(device, torch.float32).contiguous(memory_format=torch.channels_last_3d)
    edges = [min(w, -(-n // _STRIDE) * _STRIDE) for w, n in zip(window, images.shape[1:], strict=True)]
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = sliding_window_inference(inputs, edges, 1, network, overlap, mode="gaussian")
    logits = logits[0].float().cpu()
    return temper(logits, torch.ones(len(logits)) if temperatures is None else temperatures).numpy()


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA where there is one, else the CPU. Raises `BrainMVPError`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BrainMVPError(f"'{name}' is no device; use cpu, cuda or auto.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BrainMVPError("This computer has no CUDA device that PyTorch can use; choose --device cpu.")
    return device
