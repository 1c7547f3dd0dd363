"""Scores lesion by lesion: Dice as BraTS 2023 defines it, F1 as ISLES 2022 does."""

import numpy as np
from scipy import ndimage

from brainmvp.tasks import Lesions

_TOUCHING = np.ones((3, 3, 3), bool)  # 26 neighbours
_GROWING = ndimage.generate_binary_structure(3, 2)  # 18: BraTS dilates without the corners


def lesion_scores(
    found: np.ndarray, true: np.ndarray, voxel_ml: float, rules: Lesions
) -> tuple[float, float]:
    """Return (lesion-wise Dice, lesion-wise F1) of two masks (X, Y, Z) bool; voxel_ml: millilitres of a voxel."""
    if not found.any() and not true.any():
        return 1.0, 1.0
    return lesion_dice(found, true, voxel_ml, rules), lesion_f1(found, true)


def lesion_dice(found: np.ndarray, true: np.ndarray, voxel_ml: float, rules: Lesions) -> float:
    """Return the lesion-wise Dice of the BraTS 2023 challenge (its published metrics).

    True parts that touch after `rules.dilation` voxels of dilation are one lesion. Each lesion is compared with all
    found parts that reach its dilated mask; one that nothing reaches scores 0, and so does every found part that
    reaches no lesion. Lesions below `rules.smallest_mm3` count neither for nor against.
    """
    grown = ndimage.binary_dilation(true, _GROWING, rules.dilation) if rules.dilation else true
    lesions, _ = ndimage.label(grown, _TOUCHING)
    parts, part_count = ndimage.label(found, _TOUCHING)
    voxel_mm3 = 1000 * voxel_ml
    part_sizes = np.bincount(parts[found], minlength=part_count + 1)
    scores, used = [], np.zeros(part_count + 1, bool)
    used[0] = True
    # In the box of each lesion: a pass through the whole volume for each takes seconds where there are many.
    for lesion, box in enumerate(ndimage.find_objects(lesions), start=1):
        inside = lesions[box] == lesion
        own = true[box] & inside
        reached = np.unique(parts[box][inside])
        reached = reached[reached > 0]
        used[reached] = True
        own_size = int(own.sum())
        if own_size * voxel_mm3 <= rules.smallest_mm3:
            continue
        shared = int((own & found[box]).sum())  # all of it of parts that reach the lesion
        scores.append(2 * shared / (own_size + int(part_sizes[reached].sum())))
    made_up = int((~used).sum())
    # Only lesions too small to count, and nothing made up: nothing was to be found.
    return float(sum(scores) / (len(scores) + made_up)) if scores or made_up else 1.0


def lesion_f1(found: np.ndarray, true: np.ndarray) -> float:
    """Return the lesion-wise F1 of the ISLES 2022 challenge (its published metrics).

    A true lesion is found if any voxel of it is; a found part that touches none is made up.
    """
    lesions, count = ndimage.label(true, _TOUCHING)
    parts, part_count = ndimage.label(found, _TOUCHING)
    hit = len(np.unique(lesions[found & true]))
    made_up = part_count - len(np.unique(parts[found & true]))
    if count + part_count == 0:
        return 1.0
    return float(2 * hit / (2 * hit + made_up + count - hit)) if hit else 0.0
