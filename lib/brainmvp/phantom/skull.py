"""A simple made-up head around a phantom's brain: what registration and brain extraction have to cope with."""

import numpy as np
from scipy import ndimage

from brainmvp.phantom.generator import Phantom
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, resample
from brainmvp.volume import Volume

# What is around a brain, as a multiple of the brain's own mean. After the textbook look of each sequence at 1.5 T:
# fat is bright but where it is suppressed, bone and air are dark, muscle is dull.
TISSUES = ("csf", "bone", "marrow", "muscle", "fat", "eye")
LEVELS: dict[Sequence, tuple[float, ...]] = {
    Sequence.T1: (0.35, 0.12, 1.0, 0.75, 2.0, 0.4),
    Sequence.T1CE: (0.4, 0.12, 1.1, 0.95, 2.0, 0.4),
    Sequence.T2: (1.9, 0.1, 0.7, 0.4, 1.3, 2.0),
    Sequence.FLAIR: (0.25, 0.1, 0.6, 0.6, 1.2, 0.3),
    Sequence.PD: (1.1, 0.12, 0.7, 0.7, 1.1, 1.1),
    Sequence.MRA: (0.5, 0.12, 0.5, 0.7, 0.9, 0.4),
    Sequence.DWI: (0.2, 0.05, 0.08, 0.2, 0.15, 0.2),
    Sequence.ADC: (3.0, 0.1, 0.3, 1.5, 0.3, 3.0),
}
# Room for skull and scalp on every side, and for the neck below, mm.
_MARGIN = ((26, 26), (26, 30), (52, 26))


def with_head(phantom: Phantom, seed: int) -> dict[str, Volume]:
    """Return the phantom's sequences inside a head, float32, by sequence, and the true `brain`, bool.

    From the inside out: CSF, skull with marrow, scalp; below, a neck with its cord, a skull base, and a face of
    blobs with two eyes. All sizes and levels vary with the seed. Noise everywhere, so the border is not constant.
    """
    rng = np.random.default_rng(seed)
    spacing = float(phantom.affine[0, 0])
    pad = head_room(spacing)
    brain = np.pad(phantom.brain.numpy(), pad)
    affine = phantom.affine.copy()
    affine[:3, 3] -= spacing * np.array([axis[0] for axis in pad])
    tissue = surroundings(brain, spacing, rng)
    result = {}
    for sequence, image in phantom.images.items():
        inside = np.pad(image.numpy(), pad)
        level = float(inside[brain].mean())
        levels = np.array([0.0, *LEVELS[sequence]]) * rng.uniform(0.8, 1.25, 7)
        texture = 1 + 0.25 * smooth_noise(brain.shape, rng, 4 / spacing)
        around = ndimage.gaussian_filter((levels * level)[tissue] * texture, 0.6 / spacing)
        bias = np.exp(0.12 * smooth_noise(brain.shape, rng, 60 / spacing))
        data = np.where(brain, inside, around) * bias
        noise = 0.025 * level * rng.standard_normal((2, *brain.shape))
        result[str(sequence)] = Volume(np.hypot(data + noise[0], noise[1]).astype(np.float32), affine)
    return result | {"brain": Volume(brain, affine)}


def head_room(spacing: float) -> list[tuple[int, int]]:
    """Return the voxels (of `spacing` mm) to add around a brain's box before and after each axis."""
    return [(round(before / spacing), round(after / spacing)) for before, after in _MARGIN]


def surroundings(brain: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Return which tissue is where around a brain (X, Y, Z) bool: uint8, 0 air and brain, then `TISSUES`."""
    distance = _outside_of_hull(brain, spacing) * (1 + 0.15 * smooth_noise(brain.shape, rng, 25 / spacing))
    x, y, z = _millimetres(brain, spacing)
    csf = rng.uniform(1.0, 3.5)
    bone = csf + rng.uniform(4.5, 8.0)
    scalp = bone + rng.uniform(4.0, 9.0)
    result = np.zeros(brain.shape, np.uint8)

    def paint(mask: np.ndarray, tissue: str) -> None:
        result[mask] = TISSUES.index(tissue) + 1

    blobs = smooth_noise(brain.shape, rng, 5 / spacing)
    low = z < -0.45 * (y + 20) - 30  # below a plane from the brow to the neck
    face = low & (y > -10) & (np.hypot(x / 68, (y - 20) / 78) < 1)
    neck = low & (np.hypot(x / 58, (y + 30) / 62) < 1)
    paint((face | neck) & (distance > 0), "muscle")
    paint((face | neck) & (distance > 0) & (blobs > 0.7), "fat")
    paint(face & (distance > 0) & (blobs < -0.9), "bone")
    result[face & (blobs < -1.4)] = 0
    paint((distance > bone) & (distance <= scalp) & ~low, "fat")
    paint((distance > bone) & (distance <= bone + 2) & ~low, "muscle")
    paint((distance > csf) & (distance <= bone), "bone")
    middle = (bone - csf) / 2
    paint((np.abs(distance - csf - middle) < middle / 2.5) & (z > -25), "marrow")
    for side in (-1, 1):
        eye = np.sqrt((x - side * 32) ** 2 + (y - 66) ** 2 + (z + 38) ** 2)
        paint((eye < 17) & (distance > bone), "fat")
        paint((eye < 12) & (distance > bone), "eye")
    canal = np.hypot(x, y + 32 + 0.1 * (z + 60)) < 9
    paint(canal & (z < -45) & (distance > 0), "csf")
    paint((np.hypot(x, y + 32 + 0.1 * (z + 60)) < 5.5) & (z < -45) & (distance > 0), "muscle")
    paint((distance > 0) & (distance <= csf), "csf")
    result[brain] = 0
    return result


def _outside_of_hull(brain: np.ndarray, spacing: float) -> np.ndarray:
    """Return the distance to the brain with its sulci and fissures closed, mm."""
    reach = 9.0
    near = ndimage.distance_transform_edt(~brain, spacing) < reach
    hull = (ndimage.distance_transform_edt(near, spacing) > reach) | brain
    return ndimage.distance_transform_edt(~hull, spacing)


def _millimetres(brain: np.ndarray, spacing: float) -> list[np.ndarray]:
    """Return the coordinates from the middle of the brain's box, mm, RAS."""
    middle = [(np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {a})))[[0, -1]].mean()) for a in range(3)]
    return np.ogrid[
        tuple(
            slice(-m * spacing, (n - m) * spacing - 1e-6, spacing)
            for m, n in zip(middle, brain.shape, strict=True)
        )
    ]


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Return noise of standard deviation 1 that changes over `sigma` voxels, (X, Y, Z) float32."""
    coarse = rng.standard_normal([int(n / sigma) + 3 for n in shape]).astype(np.float32)
    affine = np.diag([sigma, sigma, sigma, 1.0])
    affine[:3, 3] = -sigma / 2
    noise = resample(Volume(coarse, affine), Grid(shape, np.eye(4)))
    return (noise - noise.mean()) / noise.std()
