"""Small helpers for rigid motions in millimetres and degrees."""

import numpy as np
from scipy.spatial.transform import Rotation


def rigid(shift_mm: np.ndarray, turn_deg: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the motion (4, 4) that turns about `centre` (a rotation vector, degrees) and then shifts (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.asarray(turn_deg, float), degrees=True).as_matrix()
    matrix[:3, 3] = centre + shift_mm - matrix[:3, :3] @ centre
    return matrix


def angle_deg(motion: np.ndarray) -> float:
    """Return by how much a rigid motion turns, degrees."""
    return float(np.degrees(Rotation.from_matrix(motion[:3, :3]).magnitude()))


def displacement_mm(first: np.ndarray, second: np.ndarray, centre: np.ndarray, radius: float) -> float:
    """Return how far apart two motions put the surface of a head of this radius, at most over its six poles, mm."""
    poles = np.vstack([centre[:, None] + radius * np.hstack([np.eye(3), -np.eye(3)]), np.ones(6)])
    return float(np.linalg.norm(((first - second) @ poles)[:3], axis=0).max())
