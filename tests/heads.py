"""Small synthetic heads on grids with awkward geometry, for tests that need real files."""

import numpy as np

from brainmvp.volume import Volume


def oblique(
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), codes: str = "RAS", degrees: float = 17.0
) -> np.ndarray:
    """Return an affine (4, 4) turned about two axes, with the axis directions `codes` and an odd origin."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    signs = [1 if code in "RAS" else -1 for code in codes]
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(np.array(spacing) * signs)
    affine[:3, 3] = (-31.7, 22.3, -11.9)
    # NIfTI stores float32: what a file can hold comes back bit for bit.
    return affine.astype(np.float32).astype(np.float64)


def head(shape: tuple[int, int, int], affine: np.ndarray, centre: np.ndarray, seed: int = 0) -> Volume:
    """Return a small stripped head: an ellipsoid of textured tissue, 40 x 48 x 40 mm, zero outside.

    The anatomy is the same for every seed; noise and contrast (inverted for odd seeds) are its own.
    """
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    inside = (((world - centre) / np.array([20.0, 24.0, 20.0])) ** 2).sum(-1) < 1
    x, y, z = np.moveaxis(world - centre, -1, 0)
    anatomy = np.sin(x / 4.1 + 0.5) + np.sin(y / 4.7 + x / 9) + np.sin(z / 4.3 + y / 8 + 1)
    contrast = (1, -0.7, 0.8, -0.9)[seed % 4]
    data = np.where(inside, 400 + 90 * contrast * anatomy + 25 * rng.standard_normal(shape), 0)
    return Volume(np.clip(data, 0, 4000).astype(np.int16), affine)


def centre_of(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Return the world position of the middle of a grid, mm."""
    return affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
