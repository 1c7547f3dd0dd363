"""Learning to segment: crops, mixed channels, pairs that agree, Dice and cross-entropy with deep supervision."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.calibration import temper
from brainmvp.dice import dice
from brainmvp.finetune.augment import change_intensity, draw_flips, replace_channels, seen_regions
from brainmvp.finetune.calibrate import calibrated
from brainmvp.finetune.on_disk import OnDisk
from brainmvp.finetune.prepared import PreparedCase, to_tensor
from brainmvp.finetune.problem import Sample, Validation
from brainmvp.finetune.randomness import between, chance
from brainmvp.losses import supervised_loss
from brainmvp.segment import predict_logits
from brainmvp.tasks import Recipe, Task

# Share of the crops that are centred on a labelled voxel, so that small lesions are seen (nnU-Net, 2021: a third).
_ON_LABEL = 1 / 3
_ENHANCING_2023 = 3


@dataclass(frozen=True)
class SegmentationProblem:
    """The segmentation problem of a task.

    window: voxels of a crop; thresholds and temperatures: by region, as in a model's card.
    """

    task: Task
    recipe: Recipe
    window: tuple[int, int, int]
    overlap: float
    thresholds: dict[str, float]
    temperatures: dict[str, float]

    def order(self, cases: list[PreparedCase], generator: torch.Generator) -> list[int]:
        """Return every case once, shuffled."""
        return torch.randperm(len(cases), generator=generator).tolist()

    def sample(self, case: PreparedCase, generator: torch.Generator) -> Sample:
        """Return `images` (V, C, X, Y, Z), one or two views of a crop, `targets` (R, X, Y, Z), `seen` (V, R)."""
        published = self.recipe.published
        start = self._corner(case, generator)
        images, labels = self._cut(case.images, start), self._cut(case.labels, start)
        fill = None if case.fill is None else self._cut(case.fill, start)
        flips = draw_flips("flips" in published, generator)
        images, labels = images.flip([axis + 1 for axis in flips]), labels.flip(flips)
        fill = None if fill is None else fill.flip([axis + 1 for axis in flips])
        images = change_intensity(images, generator)
        views, seen = [], []
        for _ in range(2 if self.recipe.pair_weight > 0 else 1):
            shown = torch.from_numpy(case.shown)
            view, shown = replace_channels(
                images, fill, shown, self.task, self.recipe.mixed, generator, "templates" in published
            )
            views.append(view)
            seen.append(seen_regions(shown & torch.from_numpy(case.looked_at), self.task))
        if "pairs" in published and len(views) == 2:
            views = _doubled(views)
        return {"images": torch.stack(views), "targets": self._targets(labels), "seen": torch.stack(seen)}

    def loss(self, network: nn.Module, batch: Sample) -> Tensor:
        """Return the published loss of all views, plus the disagreement of pairs at the coarsest output.

        Official code: `mse(out4_r, out4_p) * 0.1` between the two views' logits.
        """
        views = batch["images"].shape[1]
        outputs = network(batch["images"].flatten(0, 1))
        targets = batch["targets"].repeat_interleave(views, 0)
        loss = supervised_loss(outputs, targets, batch["seen"].flatten(0, 1))
        if views == 2:
            coarse = (outputs[0] if isinstance(outputs, list) else outputs).float().unflatten(0, (-1, 2))
            both = batch["seen"].all(1)[:, :, None, None, None]
            difference = functional.mse_loss(coarse[:, 0], coarse[:, 1], reduction="none") * both
            difference = difference.mean() * both.numel() / both.sum().clamp_min(1)
            loss = loss + self.recipe.pair_weight * difference
        return loss

    def logits(self, network: nn.Module, case: PreparedCase) -> tuple[Tensor, Tensor]:
        """Return the logits of each region on the case's working grid, (R, X, Y, Z), and its brain, (X, Y, Z) bool:
        where any of its images shows something."""
        images = to_tensor(case.images)
        return predict_logits(network, images, self.window, self.overlap), (images != 0).any(0)

    def targets(self, case: PreparedCase) -> Tensor:
        """Return where each region of a case is, (R, X, Y, Z) bool."""
        return self._targets(to_tensor(case.labels))

    def probabilities(self, network: nn.Module, case: PreparedCase) -> np.ndarray:
        """Return the probability of each region on the case's working grid, (R, X, Y, Z), none outside the brain."""
        temperatures = torch.tensor([self.temperatures.get(name, 1.0) for name in self.task.outputs])
        logits, brain = self.logits(network, case)
        return (temper(logits, temperatures) * brain).numpy()

    def predict(self, network: nn.Module, case: PreparedCase) -> np.ndarray:
        """Return the Dice of each region (R,); NaN where the sequences, or those that the label was drawn with, cannot
        show it; 1 where there is nothing to find and nothing is found."""
        probabilities = self._by_rule(self.probabilities(network, case), case)
        targets = self.targets(case).numpy()
        seen = seen_regions(torch.from_numpy(case.looked_at), self.task).numpy()
        result = np.full(len(targets), np.nan)
        for index, region in enumerate(self.task.regions):
            if seen[index]:
                found = probabilities[index] > self.thresholds.get(region.name, 0.5)
                result[index] = dice(found, targets[index])
        return result

    def found(self, network: nn.Module, case: PreparedCase) -> np.ndarray:
        """Return the label map (X, Y, Z) uint8 that the network gives a case, of what its sequences show."""
        probabilities = self._by_rule(self.probabilities(network, case), case)
        offered = seen_regions(torch.from_numpy(case.shown), self.task).tolist()
        return self.task.labels_of(
            {
                name: values > self.thresholds.get(name, 0.5)
                for name, values, shown in zip(self.task.outputs, probabilities, offered, strict=True)
                if shown
            }
        )

    def validate(self, predictions: list[np.ndarray], cases: list[PreparedCase]) -> Validation:
        """Return the mean Dice by region, over the cases whose sequences show it."""
        by_name = {}
        for index, region in enumerate(self.task.regions):
            values = [row[index] for row in predictions if not np.isnan(row[index])]
            if values:
                by_name[region.name] = float(np.mean(values))
        return Validation(float(np.mean(list(by_name.values()))), by_name)

    def calibrated(self, network: nn.Module, cases: list[PreparedCase]) -> "SegmentationProblem":
        """Return the problem with the temperatures and thresholds that fit validation cases best."""
        return calibrated(self, network, cases)

    def _by_rule(self, probabilities: np.ndarray, case: PreparedCase) -> np.ndarray:
        """Return probabilities (R, X, Y, Z) as results have them, of the regions that the case's sequences show."""
        offered = seen_regions(torch.from_numpy(case.shown), self.task).numpy()
        result = probabilities.copy()
        settled = probabilities[offered]
        self.task.settle(settled)
        result[offered] = settled
        return result

    def _corner(self, case: PreparedCase, generator: torch.Generator) -> list[int]:
        """Return the first voxel of a crop; negative or past the end where the image is smaller than the window."""
        shape = case.labels.shape
        rooms = [size - edge for size, edge in zip(shape, self.window, strict=True)]
        corner = [between(0, room, generator) if room > 0 else room // 2 for room in rooms]
        if "crops" in self.recipe.published or chance(generator) >= _ON_LABEL or max(rooms) <= 0:
            return corner
        labelled = np.flatnonzero(case.labels)
        if not len(labelled):
            return corner
        voxel = np.unravel_index(labelled[between(0, len(labelled) - 1, generator)], shape)
        centred = [int(v) - edge // 2 for v, edge in zip(voxel, self.window, strict=True)]
        return [
            min(max(wish, 0), room) if room > 0 else own
            for wish, room, own in zip(centred, rooms, corner, strict=True)
        ]

    def _cut(self, array: np.ndarray | OnDisk, corner: list[int]) -> Tensor:
        """Return a crop of an array (..., X, Y, Z), zero outside it."""
        shape = array.shape[-3:]
        first = [max(c, 0) for c in corner]
        last = [min(c + edge, size) for c, edge, size in zip(corner, self.window, shape, strict=True)]
        part = to_tensor(array[(..., *(slice(a, b) for a, b in zip(first, last, strict=True)))])
        pads = [(a - c, c + edge - b) for a, b, c, edge in zip(first, last, corner, self.window, strict=True)]
        return functional.pad(part, [n for pair in reversed(pads) for n in pair])

    def _targets(self, labels: Tensor) -> Tensor:
        """Return the regions of labels (X, Y, Z), (R, X, Y, Z) bool."""
        regions = [set(region.labels) for region in self.task.regions]
        if "regions" in self.recipe.published:
            # Official code, ConvertToMultiChannelBasedOnBratsClasses: enhancing tumour is 4, and 3 is nothing.
            regions = [region - {_ENHANCING_2023} for region in regions]
        return torch.stack([torch.isin(labels, torch.tensor(sorted(r), dtype=labels.dtype)) for r in regions])


def _doubled(views: list[Tensor]) -> list[Tensor]:
    """Return the published pair: channels 0, 0, 1, 1, … split in the middle (official code, `np.repeat`)."""
    half = len(views[0])
    return [views[index].repeat_interleave(2, 0)[index * half : (index + 1) * half] for index in range(2)]
