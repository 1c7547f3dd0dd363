"""How unsure a model is about each voxel."""

import numpy as np


def binary_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities in bits, of the same shape: 0 where certain, 1 at one half."""
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def voxel_uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """Return the largest entropy over the regions, (X, Y, Z) float32 in 0…1, of region probabilities (R, X, Y, Z).

    Computed only where some region is not certainly absent; elsewhere it is 0.
    """
    result = np.zeros(probabilities.shape[1:], np.float32)
    open_question = probabilities.max(0) > 1e-3
    result[open_question] = binary_entropy(probabilities[:, open_question]).max(0)
    return result
