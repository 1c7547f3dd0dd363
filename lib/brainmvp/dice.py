"""How much two masks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def dice(one: np.ndarray | Tensor, other: np.ndarray | Tensor, both_empty: float = 1.0) -> float:
    """Return the Dice coefficient of two masks, both arrays or both tensors of bool and of one shape.

    both_empty: what to return where neither holds anything; 1 says that nothing was to be found, and nothing was.
    """
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else both_empty
