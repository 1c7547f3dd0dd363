"""How good a network is on phantoms that it never trains on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from brainmvp.phantom.anatomy import Anatomy
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task
from brainmvp.training.learner import Learner
from brainmvp.training.loss import dice, region_targets
from brainmvp.training.samples import VALIDATION_SEEDS, make_sample

_DIFFICULTY = 0.5
_VOXEL_ML = 0.008  # 2 mm
# The share of phantoms with the task's disease is that of training; Dice is taken over those.
SEQUENCE_SETS: dict[str, dict[str, tuple[Sequence, ...]]] = {
    "tumour": {
        "all": (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR),
        "T1CE+FLAIR": (Sequence.T1CE, Sequence.FLAIR),
        "FLAIR": (Sequence.FLAIR,),
    },
    "stroke": {
        "all": (Sequence.DWI, Sequence.ADC, Sequence.FLAIR),
        "DWI+ADC": (Sequence.DWI, Sequence.ADC),
        "DWI": (Sequence.DWI,),
    },
}


@dataclass(frozen=True)
class ValidationSet:
    """Fixed phantoms: images (N, C, X, Y, Z) float16 and targets (N, R, X, Y, Z) bool, on the CPU."""

    task: Task
    images: Tensor
    targets: Tensor

    @classmethod
    def of(cls, task: Task, anatomies: list[Anatomy], count: int, first: int = 0) -> "ValidationSet":
        """Make the set; the same seeds give the same phantoms. first: where the seeds begin, above training's."""
        seeds = range(VALIDATION_SEEDS + first, VALIDATION_SEEDS + first + count)
        samples = [make_sample(seed, task, _DIFFICULTY, anatomies) for seed in seeds]
        labels = torch.stack([labels for _, labels in samples])
        return cls(task, torch.stack([images for images, _ in samples]), region_targets(labels, task))

    def score(self, learner: Learner, device: torch.device) -> dict[str, float]:
        """Return the mean Dice by set of sequences and region (`all WT`), and false volumes in mL (`all false ml`)."""
        diseased = self.targets.flatten(1).any(1)
        result = {}
        for name, kept in SEQUENCE_SETS[self.task.name].items():
            scores, found = self._scores(learner, kept, device)
            offered = {region.name for region in self.task.offered(set(kept))[0]}
            for index, region in enumerate(self.task.regions):
                present = self.targets[:, index].flatten(1).any(1)
                if region.name in offered and present.any():
                    result[f"{name} {region.name}"] = round(float(scores[present, index].mean()), 4)
            if (~diseased).any():
                result[f"{name} false ml"] = round(float(found[~diseased].mean()) * _VOXEL_ML, 3)
        return result

    @property
    def brain(self) -> Tensor:
        """Where the brains are, (N, 1, X, Y, Z) bool: only there a model learns, and only there its answer counts."""
        return (self.images != 0).any(1, keepdim=True)

    def showing(self, kept: tuple[Sequence, ...]) -> Tensor:
        """Return the images (N, C, X, Y, Z) with the channels of other sequences zero."""
        channels = torch.tensor([sequence in kept for sequence in self.task.sequences])
        return self.images * channels[:, None, None, None]

    def _scores(
        self, learner: Learner, kept: tuple[Sequence, ...], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the Dice (N, R), and the voxels of the outermost region that were found (N)."""
        scores, found = [], []
        parts = zip(self.showing(kept).split(2), self.brain.split(2), self.targets.split(2), strict=True)
        for images, brain, targets in parts:
            probabilities = learner.predict(images.to(device, torch.float32)) * brain.to(device)
            scores.append(dice(probabilities, targets.to(device)).cpu())
            found.append((probabilities[:, 0] > 0.5).flatten(1).sum(1).float().cpu())
        return torch.cat(scores), torch.cat(found)
