"""A fine-tuned model's temperatures and thresholds are those of its validation cases."""

import numpy as np
import pytest
import torch
from labelled import make_cases
from torch import nn

from brainmvp.dice import dice
from brainmvp.finetune import finetune
from brainmvp.finetune.prepared import PreparedCase
from brainmvp.finetune.segmentation import SegmentationProblem
from brainmvp.modelstore import ModelStore
from brainmvp.tasks import get_task

STROKE = get_task("stroke")
(REGION,) = STROKE.outputs


class TooSure(nn.Module):
    """Knows the right logits, which the first channel holds, and says 2.5 times as much."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1] * self.factor


def case(number: int, shown: bool = True) -> PreparedCase:
    rng = np.random.default_rng(number)
    right = (2 * rng.standard_normal((16, 16, 16)) - 1).astype(np.float16)
    labels = (rng.random(right.shape) < 1 / (1 + np.exp(-right.astype(float)))).astype(np.uint8)
    images = np.stack([right, np.zeros_like(right), np.zeros_like(right)])
    return PreparedCase(
        f"case{number}", f"patient{number}", images, np.array([shown, False, False]), labels=labels
    )


def problem() -> SegmentationProblem:
    recipe = STROKE.recipe.model_copy(update={"window": (16, 16, 16)})
    return SegmentationProblem(STROKE, recipe, (16, 16, 16), 0.0, {REGION: 0.6}, {REGION: 1.0})


def test_a_network_that_is_too_sure_is_tempered_and_its_threshold_found_anew():
    found = problem().calibrated(TooSure(), [case(number) for number in range(4)])
    assert found.temperatures[REGION] == pytest.approx(2.5, rel=0.1)
    assert 0.3 <= found.thresholds[REGION] < 0.5  # Dice is best below one half where a region is hard to see
    assert problem().thresholds == {REGION: 0.6}


def test_a_few_cases_do_not_decide():
    cases = [case(0), case(1), case(2, shown=False)]
    found = problem().calibrated(TooSure(), cases)
    assert (found.thresholds, found.temperatures) == ({REGION: 0.6}, {REGION: 1.0})


def test_tissues_side_by_side_are_left_alone():
    task = get_task("mrbrains-13")
    side_by_side = SegmentationProblem(task, task.recipe, (16, 16, 16), 0.0, {}, {})
    assert side_by_side.calibrated(TooSure(), [case(number) for number in range(4)]) is side_by_side


class MarksAll(TooSure):
    """Takes every voxel for every region of three."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images[:, :3], 9.0)


def test_a_network_is_judged_inside_the_brain_and_draws_what_the_sequences_show():
    task = get_task("tumour")
    images = np.zeros((4, 16, 16, 16), np.float16)
    images[3, 4:12, 4:12, 4:12] = 1  # FLAIR alone
    brain = images.any(0)
    flair = np.array([False, False, False, True])
    only = PreparedCase("a", "a", images, flair, labels=brain * np.uint8(task.labels[0].value))
    judged = SegmentationProblem(task, task.recipe, (16, 16, 16), 0.0, {}, {})
    assert judged.predict(MarksAll(), only)[0] == 1
    found = judged.found(MarksAll(), only)
    assert np.array_equal(found > 0, brain) and len(np.unique(found)) == 2
    assert set(np.unique(found)) == set(np.unique(task.labels_of({task.regions[0].name: brain})))


class BothSure(TooSure):
    """Takes every voxel for two tissues, more for the one whose channel is brighter."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images + 3, torch.full_like(images[:, :1], -9.0)], 1)


def test_tissues_side_by_side_are_scored_as_they_are_found():
    task, rng = get_task("mrbrains-13"), np.random.default_rng(0)
    images = rng.random((2, 16, 16, 16)).astype(np.float16)
    labels = rng.choice([label.value for label in task.labels], (16, 16, 16)).astype(np.uint8)
    brain = PreparedCase("a", "a", images, np.array([True, True]), labels=labels)
    side_by_side = SegmentationProblem(task, task.recipe, (16, 16, 16), 0.0, {}, {})
    found = task.regions_of(side_by_side.found(BothSure(), brain))
    right = [dice(found[name], mask) for name, mask in task.regions_of(labels).items()]
    assert side_by_side.predict(BothSure(), brain).tolist() == pytest.approx(right)


class CoreOutside(TooSure):
    """Is sure of a tumour's core where the first channel is bright, and of the whole tumour nowhere."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images[:, :1]
        return torch.cat([bright - 2, 9 * bright, bright - 9], 1)


def test_a_core_outside_its_tumour_is_scored_as_a_result_has_it():
    task = get_task("tumour")
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[4:9, 4:9, 4:9] = 1
    images = np.stack([labels] * len(task.sequences)).astype(np.float16)
    tumour = PreparedCase("a", "a", images, np.ones(len(task.sequences), bool), labels=labels)
    nested = SegmentationProblem(task, task.recipe, (16, 16, 16), 0.0, {}, {})
    assert nested.predict(CoreOutside(), tumour).tolist() == [0, 0, 1]
    assert not nested.found(CoreOutside(), tumour).any()


def test_the_card_of_a_fine_tuned_model_has_its_own_numbers(tmp_path, tiny_models):
    start = ModelStore(tiny_models).resolve("stroke")
    card = start.card.model_copy(update={"thresholds": {REGION: 0.9}, "temperatures": {REGION: 9.0}})
    start = type(start)(card, start.folder)
    cases = make_cases(STROKE, 5, tmp_path)
    recipe = STROKE.recipe.model_copy(
        update={"epochs": 1, "steps_per_epoch": 1, "batch": 1, "pair_weight": 0.0}
    )
    prepared = tmp_path / "prepared"
    own = finetune(STROKE, cases[:2], cases[2:], start, recipe, tmp_path / "three", cache=prepared).card
    assert 0.3 <= own.thresholds[REGION] <= 0.6 and 0.25 <= own.temperatures[REGION] <= 4
    kept = finetune(STROKE, cases[:2], cases[3:], start, recipe, tmp_path / "two", cache=prepared).card
    assert (kept.thresholds, kept.temperatures) == ({REGION: 0.9}, {REGION: 9.0})
