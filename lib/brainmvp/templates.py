"""The distilled modality templates: one learned average image per sequence."""

from pathlib import Path

import numpy as np
from torch import Tensor

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.volume import Volume, write_volume

# The published templates lie on the SRI24 grid of the BraTS data, turned to RAS (official script: 240 x 240 x 155
# voxels of 1 mm); this is the middle of that grid in the world of the BraTS files, mm.
_SRI24_CENTRE = np.array([-119.5, 119.5, 77.0])


def template_volumes(templates: Tensor, spacing: float = 1.0) -> dict[Sequence, Volume]:
    """Return templates (8, X, Y, Z) as one volume per sequence, RAS, centred on the SRI24 grid.

    spacing: of their voxels, mm. Intensities are as learned. Raises `BrainMVPError` if there is not one for each of
    the eight sequences.
    """
    if templates.ndim != 4 or len(templates) != len(Sequence):
        raise BrainMVPError(
            f"Templates are (8, X, Y, Z), got {tuple(templates.shape)}; give a published checkpoint."
        )
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = _SRI24_CENTRE - spacing * (np.array(templates.shape[1:]) - 1) / 2
    return {s: Volume(t.float().numpy(), affine) for s, t in zip(Sequence, templates.cpu(), strict=True)}


def export_templates(
    templates: Tensor, folder: Path, spacing: float = 1.0, sequences: tuple[Sequence, ...] = tuple(Sequence)
) -> list[Path]:
    """Write one NIfTI file per sequence (`FLAIR.nii.gz`, …) and return the files; see `template_volumes`."""
    volumes = template_volumes(templates, spacing)
    return [write_volume(volumes[sequence], folder / f"{sequence}.nii.gz") for sequence in sequences]
