"""A made-up head around a phantom's brain: what registration and brain extraction have to cope with."""

import numpy as np
from scipy import ndimage

from brainmvp.phantom.face import STANDARD, Noise, Space, outline, paint_face
from brainmvp.phantom.generator import Phantom
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, extent, resample
from brainmvp.volume import Volume

# What is around a brain, as a multiple of the brain's own mean. After the textbook look of each sequence at 1.5 T:
# fat is bright but where it is suppressed, bone and air are dark, muscle is dull, mucosa takes up contrast.
TISSUES = ("csf", "bone", "marrow", "muscle", "fat", "vitreous", "mucosa", "gland", "vessel", "nerve", "dura")
LEVELS: dict[Sequence, tuple[float, ...]] = {
    Sequence.T1: (0.35, 0.12, 1.2, 0.75, 2.0, 0.4, 0.8, 1.2, 0.4, 1.0, 0.75),
    Sequence.T1CE: (0.4, 0.12, 1.3, 0.95, 2.0, 0.4, 2.0, 1.7, 2.2, 1.0, 1.7),
    Sequence.T2: (1.9, 0.1, 0.7, 0.4, 1.3, 2.0, 1.8, 1.1, 0.2, 0.9, 0.5),
    Sequence.FLAIR: (0.25, 0.1, 0.6, 0.6, 1.2, 0.3, 1.3, 0.9, 0.3, 0.95, 0.9),
    Sequence.PD: (1.1, 0.12, 0.7, 0.7, 1.1, 1.1, 1.2, 1.0, 0.5, 0.95, 0.8),
    Sequence.MRA: (0.5, 0.12, 0.5, 0.7, 0.9, 0.4, 0.8, 0.8, 2.5, 0.9, 0.7),
    Sequence.DWI: (0.2, 0.05, 0.08, 0.2, 0.15, 0.2, 0.7, 0.7, 0.1, 0.9, 0.3),
    Sequence.ADC: (3.0, 0.1, 0.3, 1.5, 0.3, 3.0, 2.0, 1.2, 1.0, 1.0, 1.0),
}
# Room for skull and scalp on every side, and for the neck below, mm.
_MARGIN = ((26, 26), (26, 34), (56, 26))


def with_head(phantom: Phantom, seed: int) -> dict[str, Volume]:
    """Return the phantom's sequences inside a head, float32, by sequence, and the true `brain`, bool.

    From the inside out: CSF, dura and veins, skull with marrow, scalp; below, a face and a neck. All sizes, places and
    levels vary with the seed. Noise everywhere, so the border is not constant.
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
        levels = np.array([0.0, *LEVELS[sequence]]) * rng.uniform(0.8, 1.25, len(TISSUES) + 1)
        texture = 1 + 0.15 * smooth_noise(brain.shape, rng, 4 / spacing)
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

    def noise(mm: float) -> np.ndarray:
        return smooth_noise(brain.shape, rng, mm / spacing)

    distance = _outside_of_hull(brain, spacing) * (1 + 0.15 * noise(25.0))
    space = _space(brain, noise, rng)
    csf = rng.uniform(1.0, 4.0)
    bone = csf + rng.uniform(4.5, 8.0)
    scalp = bone + rng.uniform(4.0, 9.0)
    result = np.zeros(brain.shape, np.uint8)

    def paint(mask: np.ndarray, tissue: str | None) -> None:
        result[mask] = 0 if tissue is None else TISSUES.index(tissue) + 1

    low = space.z < -38 + 0.12 * space.y
    temporal = space.blob((0, 28, -28), (rng.uniform(76, 84), 40, 42)) & (np.abs(space.x) > 40)
    base = csf + np.where(low, rng.uniform(0.3, 0.8), 1) * (bone - csf)  # thin where the face is
    head = (outline(space, rng) & low) | (~low & (distance <= scalp)) | (temporal & (distance <= scalp + 6))
    skin = ndimage.distance_transform_edt(head, spacing)
    paint(head, "muscle")
    paint_face(space, lambda mask, tissue: paint(mask & head & low, tissue), noise, rng)
    paint(head & (skin < rng.uniform(2, 7)), "fat")
    paint(head & ~low & ~temporal & (distance > bone + 2), "fat")
    paint(~low & (distance <= bone) | low & (distance <= base), "bone")
    middle = (bone - csf) / 2
    paint((np.abs(distance - csf - middle) < middle / 2.5) & ~low, "marrow")
    paint(low & (distance > csf + 1) & (distance <= base) & (noise(7.0) > rng.uniform(0.3, 1.5)), "marrow")
    water = csf * np.clip(1 + 0.4 * noise(15.0), 0.1, 1.6)  # wider over some gyri than over others
    paint(distance <= water + rng.uniform(0.5, 2), "dura")
    paint(distance <= water, "csf")
    paint(_veins(space, distance, csf), "vessel")
    result[brain] = 0
    return result


def _veins(space: Space, distance: np.ndarray, csf: float) -> np.ndarray:
    """Return the sagittal sinus, above, and the transverse ones, behind."""
    wall = distance <= csf + 3
    sagittal = (np.abs(space.x) < 4.5) & (space.z > -30)
    transverse = (np.abs(space.z + 38) < 4.5) & (space.y < -20)
    return wall & (distance > 0) & (sagittal | transverse)


def _space(brain: np.ndarray, noise: Noise, rng: np.random.Generator) -> Space:
    """Return the coordinates from the middle of the brain's box as if it were of standard size, bent a little."""
    axes = []
    for axis, ((low, high), size, count) in enumerate(zip(extent(brain), STANDARD, brain.shape, strict=True)):
        scale = size / (high - low + 1) * rng.uniform(0.94, 1.06)
        line = (np.arange(count, dtype=np.float32) - (low + high) / 2) * np.float32(scale)
        axes.append(line.reshape([-1 if a == axis else 1 for a in range(3)]) + 2.5 * noise(18.0))
    return Space(*axes)


def _outside_of_hull(brain: np.ndarray, spacing: float) -> np.ndarray:
    """Return the distance to the brain with its sulci and fissures closed, mm."""
    reach = 9.0
    near = ndimage.distance_transform_edt(~brain, spacing) < reach
    hull = (ndimage.distance_transform_edt(near, spacing) > reach) | brain
    return ndimage.distance_transform_edt(~hull, spacing)


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Return noise of standard deviation 1 that changes over `sigma` voxels, (X, Y, Z) float32."""
    coarse = rng.standard_normal([int(n / sigma) + 3 for n in shape]).astype(np.float32)
    affine = np.diag([sigma, sigma, sigma, 1.0])
    affine[:3, 3] = -sigma / 2
    noise = resample(Volume(coarse, affine), Grid(shape, np.eye(4)))
    return (noise - noise.mean()) / noise.std()
