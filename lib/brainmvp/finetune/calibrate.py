"""The temperatures and thresholds of a fine-tuned model, by its validation cases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from brainmvp.calibration import best_threshold, fit_temperature
from brainmvp.finetune.augment import seen_regions
from brainmvp.finetune.prepared import PreparedCase

if TYPE_CHECKING:
    from brainmvp.finetune.segmentation import SegmentationProblem

# With fewer cases that hold a region, one of them would decide: then what the start said stays.
FEWEST_CASES = 3
# The voxels of so many brains are held in memory; more cases would tell little more.
_MOST_CASES = 64


@dataclass(frozen=True)
class _Voxels:
    """A region in the brain of one case: logits (N,) float16, and where it is (N,) bool."""

    logits: Tensor
    truth: Tensor


def calibrated(
    problem: SegmentationProblem, network: nn.Module, cases: list[PreparedCase]
) -> SegmentationProblem:
    """Return the problem with the temperatures and thresholds that fit its validation cases best.

    As for the built-in models: of each region the temperature by all voxels of the brains, then the threshold with
    the best mean Dice over the cases that hold it. Tissues side by side are left alone: there the most probable one
    takes the voxel, whatever a threshold says.
    """
    if not problem.task.nested:
        return problem
    temperatures, thresholds = dict(problem.temperatures), dict(problem.thresholds)
    for name, voxels in _by_region(problem, network, cases).items():
        holding = [one for one in voxels if one.truth.any()]
        if len(holding) < FEWEST_CASES:
            continue
        logits, truth = (torch.cat([getattr(one, part) for one in voxels]) for part in ("logits", "truth"))
        temperature = fit_temperature(logits, truth)
        probabilities = [(one.logits.float() / temperature).sigmoid() for one in holding]
        temperatures[name] = temperature
        thresholds[name] = best_threshold(probabilities, [one.truth for one in holding])[0]
    return replace(problem, temperatures=temperatures, thresholds=thresholds)


def _by_region(
    problem: SegmentationProblem, network: nn.Module, cases: list[PreparedCase]
) -> dict[str, list[_Voxels]]:
    """Return, by region, its voxels in the brain of every case whose sequences can show it."""
    voxels: dict[str, list[_Voxels]] = {name: [] for name in problem.task.outputs}
    network.eval()
    for index in sorted({round(x) for x in np.linspace(0, len(cases) - 1, _MOST_CASES)}):
        case = cases[index]
        with torch.inference_mode():
            logits, brain = problem.logits(network, case)
        seen = seen_regions(torch.from_numpy(case.looked_at), problem.task).tolist()
        regions = zip(problem.task.outputs, logits, problem.targets(case), seen, strict=True)
        for name, values, truth, shown in regions:
            if shown:
                voxels[name].append(_Voxels(values[brain].half(), truth[brain]))
    return voxels
