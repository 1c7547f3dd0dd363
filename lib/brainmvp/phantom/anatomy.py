"""Brains to start from: the MNI152 average, and real patients where their images are at hand."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from brainmvp.errors import BrainMVPError
from brainmvp.phantom.draw import box_mean
from brainmvp.phantom.fissure import Fissure
from brainmvp.sequences import Sequence
from brainmvp.spatial import extent

# Channels of every tissue map in this package.
GREY, WHITE, CSF = 0, 1, 2

_PATIENT_SEQUENCES = (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR)


@dataclass(frozen=True)
class Anatomy:
    """A brain on a RAS grid whose middle is the middle of the brain.

    tissue: (3, X, Y, Z) fractions of grey matter, white matter and CSF, which sum to one in the brain and to zero
    outside; spacing: mm; images: (X, Y, Z) by sequence, percentiles 5 and 95 of the brain at 0 and 1 (empty for the
    atlas); lesions: (X, Y, Z) fractions of the patient's own lesions, or None; fissure: where the hemispheres part.
    """

    name: str
    tissue: Tensor
    spacing: float
    images: dict[Sequence, Tensor] = field(default_factory=dict)
    lesions: Tensor | None = None
    fissure: Fissure = field(default_factory=Fissure)

    @property
    def is_average(self) -> bool:
        """Whether the tissue maps are those of a population, and so blurred."""
        return not self.images


def load_anatomies(spacing: float, patients: Path | None = None) -> list[Anatomy]:
    """Return the MNI152 atlas and, if a folder is given, the patients in it, as they are and without their lesions.

    spacing: mm, whole; patients: a folder with one sub-folder per patient, on the 1 mm MNI grid and without skull,
    NAME/NAME_{t1,t1ce,t2,flair,lesions}.nii.gz, as in the multiple-sclerosis set of Lesjak et al. (Neuroinformatics
    2018, CC BY 4.0). Raises `BrainMVPError` if the folder has none, or they are on another grid.
    """
    anatomies = [_atlas()]
    if patients is not None:
        folders = sorted(path.parent for path in patients.glob("*/*_lesions.nii.gz"))
        if not folders:
            raise BrainMVPError(f"{patients} has no patients (NAME/NAME_lesions.nii.gz); check the folder.")
        for folder in folders:
            patient = _patient(folder)
            anatomies += [patient, _healed(patient)]
    return [_coarser(anatomy, round(spacing)) for anatomy in anatomies]


def _atlas() -> Anatomy:
    """The ICBM 2009a symmetric tissue maps that nilearn carries (Fonov et al., NeuroImage 2011)."""
    import nibabel as nib
    import nilearn

    folder = Path(nilearn.__file__).parent / "datasets" / "data"

    def read(part: str) -> Tensor:
        image = nib.load(folder / f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz")
        return torch.from_numpy(np.asarray(image.dataobj, np.float32) / 255)

    grey, white, brain = read("gm"), read("wm"), (read("t1") > 0).float()
    grey, white = grey * brain, white * brain
    csf = (brain - grey - white).clamp_min(0)
    tissue = torch.stack([grey, white, csf])
    return _centred(Anatomy("MNI152", tissue / tissue.sum(0).clamp_min(1e-3) * brain, 1.0))


def _patient(folder: Path) -> Anatomy:
    from brainmvp.intensity import normalise
    from brainmvp.volume import read_volume

    shapes = set()

    def read(part: str) -> Tensor:
        path = folder / f"{folder.name}_{part}.nii.gz"
        volume = read_volume(path)
        shapes.add(volume.shape)
        if not _is_upright(volume.affine) or len(shapes) > 1:
            raise BrainMVPError(f"{path} is not on the 1 mm grid of the others; resample the patient.")
        return torch.from_numpy(np.ascontiguousarray(volume.data, np.float32))

    raw = {sequence: read(sequence.value.lower()) for sequence in _PATIENT_SEQUENCES}
    brain = torch.stack([image > 0 for image in raw.values()]).all(0)
    images = {sequence: normalise(image, brain, sequence) for sequence, image in raw.items()}
    tissue = _tissue_of(images[Sequence.T1], images[Sequence.T2], brain)
    return _centred(Anatomy(folder.name, tissue, 1.0, images, (read("lesions") > 0).float()))


def _is_upright(affine: np.ndarray) -> bool:
    """Return whether voxels are 1 mm, from left or right, from back to front, from bottom to top."""
    directions = affine[:3, :3]
    return np.allclose(np.abs(directions), np.eye(3), atol=1e-3) and min(np.diag(directions)[1:]) > 0


def _tissue_of(t1: Tensor, t2: Tensor, brain: Tensor) -> Tensor:
    """Return tissue fractions from two normalised images: CSF by T2 - T1, then grey and white by a T1 threshold."""
    csf = ((t2 - t1 - 0.25) / 0.5).clamp(0, 1) * brain
    values = t1[brain & (csf < 0.2)]
    threshold = values.mean()
    for _ in range(20):
        threshold = (values[values > threshold].mean() + values[values <= threshold].mean()) / 2
    white = torch.sigmoid((t1 - threshold) / 0.06) * (1 - csf) * brain
    return torch.stack([(1 - csf) * brain - white, white, csf])


def _healed(patient: Anatomy) -> Anatomy:
    """Return the patient with the lesions, and some millimetres around them, made white matter of the surroundings."""
    lesions = (box_mean(patient.lesions, 2) > 0.02).float() * patient.tissue.sum(0)
    normal = patient.tissue[WHITE] * (lesions == 0)
    share = box_mean(normal, 7)
    images = {
        sequence: torch.lerp(image, box_mean(image * normal, 7) / share.clamp_min(1e-3), lesions)
        for sequence, image in patient.images.items()
    }
    tissue = patient.tissue * (1 - lesions)
    tissue[WHITE] += lesions
    return Anatomy(f"{patient.name}-healed", tissue, patient.spacing, images, fissure=patient.fissure)


def _centred(anatomy: Anatomy) -> Anatomy:
    """Crop to the brain's bounding box, padded to even sizes, and measure the fissure, which need not be its middle."""
    box = extent((anatomy.tissue.sum(0) > 0.5).numpy())
    slices = [slice(low, high + 1) for low, high in box]
    pad = [edge for low, high in reversed(box) for edge in (2, 2 + (high + 1 - low) % 2)]

    def cut(image: Tensor) -> Tensor:
        return functional.pad(image[(..., *slices)], pad)

    images = {sequence: cut(image) for sequence, image in anatomy.images.items()}
    lesions = None if anatomy.lesions is None else cut(anatomy.lesions)
    tissue = cut(anatomy.tissue)
    fissure = Fissure.of(tissue[CSF], anatomy.spacing)
    return Anatomy(anatomy.name, tissue, anatomy.spacing, images, lesions, fissure)


def _coarser(anatomy: Anatomy, factor: int) -> Anatomy:
    if factor == 1:
        return anatomy
    # As much on both sides, so that the middle stays where it is.
    rooms = [-size % (2 * factor) // 2 for size in reversed(anatomy.tissue.shape[1:])]
    pad = [room for room in rooms for _ in range(2)]

    def mean(image: Tensor) -> Tensor:
        lead = functional.pad(image[None] if image.ndim == 3 else image, pad)
        result = functional.avg_pool3d(lead, factor)
        return result[0] if image.ndim == 3 else result

    images = {sequence: mean(image) for sequence, image in anatomy.images.items()}
    lesions = None if anatomy.lesions is None else mean(anatomy.lesions)
    return Anatomy(
        anatomy.name, mean(anatomy.tissue), anatomy.spacing * factor, images, lesions, anatomy.fissure
    )
