"""Write phantoms as studies, each sequence on a grid as scanners choose it."""

from pathlib import Path

import numpy as np

from brainmvp.phantom.anatomy import Anatomy
from brainmvp.phantom.distortion import ECHO_PLANAR
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.generator import Disease, Phantom, make_phantom
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, middle_of, resample, resample_labels
from brainmvp.volume import Volume, write_volume

# What a patient of each kind usually brings.
USUAL_SEQUENCES = {
    "tumour": (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR),
    "stroke": (Sequence.DWI, Sequence.ADC),
}


def write_study(folder: Path, phantom: Phantom, *, own_grids: bool = False, label: bool = True) -> Path:
    """Write a phantom as FOLDER/NAME_{t1,t1ce,...}.nii.gz and, if wished, NAME_seg.nii.gz; return the folder.

    own_grids: each sequence on a grid of its own, as from a scanner: oblique, some with thick slices, diffusion at
    2 mm; the label then lies on the first sequence's grid. Otherwise all lie on the phantom's grid. Intensities are
    int16, ADC float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = Draw(int(phantom.facts["seed"]) + 1)
    home = Grid(tuple(phantom.labels.shape), phantom.affine)
    grids = _scanner_grids(draw, phantom, home) if own_grids else dict.fromkeys(phantom.images, home)
    for sequence, image in phantom.images.items():
        data = image.numpy()
        if own_grids:
            data = resample(Volume(data, phantom.affine), grids[sequence])
        data = data.astype(np.float32) if sequence is Sequence.ADC else np.rint(data).astype(np.int16)
        path = folder / f"{folder.name}_{sequence.value.lower()}.nii.gz"
        write_volume(Volume(data, grids[sequence].affine), path)
    if label:
        grid = next(iter(grids.values()))
        labels = resample_labels(phantom.labels.numpy(), phantom.affine, grid)
        write_volume(Volume(labels, grid.affine), folder / f"{folder.name}_seg.nii.gz")
    return folder


def make_study(
    folder: Path,
    seed: int,
    task: str,
    *,
    sequences: tuple[Sequence, ...] | None = None,
    difficulty: float = 0.3,
    disease: Disease | None = None,
    anatomies: list[Anatomy] | None = None,
    own_grids: bool = False,
    spacing: float = 1.0,
) -> Path:
    """Make a phantom and write it as a study, with its label; returns the folder.

    sequences: else those that patients of the task usually bring; anatomies: of the same spacing (mm), else the MNI152
    atlas. See `make_phantom` and `write_study` for the rest.
    """
    phantom = make_phantom(
        seed, task, spacing=spacing, difficulty=difficulty, anatomies=anatomies,
        sequences=sequences or USUAL_SEQUENCES[task], disease=disease,
    )  # fmt: skip
    return write_study(folder, phantom, own_grids=own_grids)


def _scanner_grids(draw: Draw, phantom: Phantom, home: Grid) -> dict[Sequence, Grid]:
    """Return a grid per sequence; DWI and ADC come from one scan and share theirs."""
    grids: dict[Sequence, Grid] = {}
    diffusion = _oblique_grid(draw, home, (2.0, 2.0, 2.0))
    for sequence in phantom.images:
        if sequence in ECHO_PLANAR:
            grids[sequence] = diffusion
        elif draw.chance(0.5):
            grids[sequence] = _oblique_grid(draw, home, (1.0, 1.0, 1.0))
        else:
            fine = draw.uniform(0.7, 1.0)
            grids[sequence] = _oblique_grid(draw, home, (fine, fine, draw.uniform(3.0, 5.0)))
    return grids


def _oblique_grid(draw: Draw, home: Grid, spacing: tuple[float, float, float]) -> Grid:
    """Return a grid of this spacing, turned by some degrees and with axes as RAS, LPS or LAS, over the same box."""
    a, b = np.radians(draw.normal(7.0)), np.radians(draw.normal(5.0))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    signs = draw.choice(((1, 1, 1), (-1, -1, 1), (-1, 1, 1)))
    extent = np.array(home.shape) * home.spacing
    shape = tuple(int(size) for size in np.ceil(extent / spacing))
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag(np.array(spacing) * signs)
    affine[:3, 3] = middle_of(home) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    # NIfTI stores float32.
    return Grid(shape, affine.astype(np.float32).astype(np.float64))
