"""How well held-out studies are reconstructed, always from the same patches and masks."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from monai.metrics import PSNRMetric, SSIMMetric

from ..data.cache import CachedImages
from ..data.stream import Batch, Sampling, join
from ..model import PretrainingModel, Reconstruction

# Patches looked at; more would tell little more, and every validation costs as much as so many steps.
_MOST_STUDIES = 64
# Gaussian window of the structural similarity (Wang et al., 2004), voxels.
_SSIM_WINDOW = 11


@dataclass(frozen=True)
class Validation:
    """scores: PSNR in dB and SSIM of both views' reconstructions, the mean over all sequences; examples: the first
    batches with their reconstructions."""

    scores: dict[str, float]
    examples: list[tuple[Batch, Reconstruction]]


def spread_out(studies: Items[CachedImages], most: int) -> list[CachedImages]:
    """Return at most so many of the studies, evenly spread: they are sorted, and the first ones are of one data set."""
    places = np.linspace(0, len(studies) - 1, min(most, len(studies)))
    return [studies[round(place)] for place in places]


class Validator:
    """Reconstruct one patch of each held-out study; view 2 always shows another sequence, whatever the epoch."""

    def __init__(self, studies: Items[CachedImages], sampling: Sampling) -> None:
        self._studies, self._sampling = spread_out(studies, _MOST_STUDIES), sampling

    @torch.no_grad()
    def __call__(self, model: PretrainingModel, device: torch.device, autocast: torch.autocast) -> Validation:
        model.eval()
        psnr = PSNRMetric(max_val=1.0, reduction="none")
        ssim = SSIMMetric(3, data_range=1.0, win_size=_SSIM_WINDOW, reduction="none")
        values: dict[str, list[float]] = {"psnr_1": [], "psnr_2": [], "ssim_1": [], "ssim_2": []}
        examples = []
        for number, study in enumerate(self._studies):
            batch = join([self._sampling.draw(study, f"validation/{number}", True)], ([number],), 0).to(
                device
            )
            with autocast:
                result = model(batch.images, batch.start, batch.plan)
            target = result.target.float()
            for view, found in (("1", result.first), ("2", result.second)):
                # The target is in 0 to 1, and so is what a reader would be shown.
                shown = found.float().clamp(0, 1)
                values[f"psnr_{view}"] += psnr(shown, target).clamp(max=100).flatten().tolist()
                values[f"ssim_{view}"] += ssim(shown, target).flatten().tolist()
            if len(examples) < 2:
                examples.append((batch, result))
        model.train()
        return Validation({name: fmean(items) for name, items in values.items()}, examples)
