"""Metrics of one region in one case, and the rules for empty masks.

Both empty: Dice and lesion scores 1, HD95 0 (nothing was to be found, and nothing was). One of them empty: Dice and
lesion scores 0, HD95 `MISSED_MM` (BraTS' own rule); but lesions too small to count, and no others, make lesion-wise
Dice 1 where they are missed, as in BraTS. Nothing is left out of a mean because it is empty.
"""

import warnings

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance

from brainmvp.dice import dice
from brainmvp.evaluation.lesions import lesion_scores
from brainmvp.spatial import extent
from brainmvp.tasks import Lesions
from brainmvp.volume import Volume

# About the diagonal of a BraTS image (240 x 240 x 155 mm): what BraTS gives a region that is missed or made up.
MISSED_MM = 374.0


def mask_metrics(
    found: np.ndarray, true: np.ndarray, affine: np.ndarray, lesions: Lesions | None
) -> dict[str, float]:
    """Compare two masks (X, Y, Z) bool with their affine (4, 4); lesions: None where there are none to count.

    Return Dice, HD95 (MONAI's) in mm, the lesion scores (NaN without lesions) and volumes in mL, by name. HD95 takes
    the axes for perpendicular: on a sheared grid, lengths across them are somewhat off.
    """
    grid = Volume(true, affine)
    volume, wanted = found.sum() * grid.voxel_ml, true.sum() * grid.voxel_ml
    lesion_dice, lesion_f1 = (np.nan, np.nan)
    if lesions:
        lesion_dice, lesion_f1 = lesion_scores(found, true, grid.voxel_ml, lesions)
    return {
        "dice": dice(found, true),
        "hd95": _hd95(found, true, grid.spacing),
        "lesion_dice": lesion_dice,
        "lesion_f1": lesion_f1,
        "volume_error": abs(volume - wanted),
        "volume_ml": volume,
        "true_ml": wanted,
    }


def _hd95(found: np.ndarray, true: np.ndarray, spacing: np.ndarray) -> float:
    if not found.any() or not true.any():
        return 0.0 if found.any() == true.any() else MISSED_MM
    box = _box(found | true)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 uses an option of its own that is to go
        distance = compute_hausdorff_distance(
            _batch(found[box]),
            _batch(true[box]),
            include_background=True,
            percentile=95,
            spacing=spacing.tolist(),
        )
    return float(distance)


def _box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """Return the box of a mask with a voxel around it: distances inside it are those of the whole volume."""
    return tuple(slice(max(low - 1, 0), high + 2) for low, high in extent(mask))


def _batch(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None]
