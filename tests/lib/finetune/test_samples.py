"""Training samples: what belongs together moves together, and each published behaviour can be had back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainmvp.finetune.augment import draw_flips, replace_channels, seen_regions, turn
from brainmvp.finetune.prepared import PreparedCase
from brainmvp.finetune.randomness import generator
from brainmvp.finetune.segmentation import SegmentationProblem
from brainmvp.losses import dice_cross_entropy, soft_dice_loss
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task

PED, STROKE, VS = get_task("brats-ped-2023"), get_task("stroke"), get_task("vs-seg")


def problem(task, window=(16, 16, 16), **changes):
    recipe = task.recipe.model_copy(update={"pair_weight": 0.1, **changes})
    return SegmentationProblem(task, recipe, window, 0.5, {}, {})


def case(task, shape=(20, 18, 12), fill=None):
    labels = np.zeros(shape, np.uint8)
    labels[2:6, 3:7, 4:8] = task.labels[-1].value
    labels[3:5, 4:6, 5:7] = task.labels[0].value
    images = np.stack([(labels > 0) * (channel + 1.0) for channel in range(len(task.sequences))])
    shown = np.ones(len(task.sequences), bool)
    return PreparedCase("a", "a", images.astype(np.float16), shown, fill, labels)


def test_images_and_labels_are_cut_and_flipped_together():
    for seed in range(8):
        sample = problem(PED, mixed=0).sample(case(PED), generator(seed))
        assert sample["images"].shape == (2, 4, 16, 16, 16)
        assert torch.equal(sample["images"][0, 0] != 0, sample["targets"][0])


def test_regions_that_only_a_later_sequence_shows_are_not_told_by_a_label_of_before():
    drawn = np.array([sequence != "T1CE" for sequence in PED.sequences])
    early = replace(case(PED), drawn=drawn)
    assert problem(PED, mixed=0).sample(early, generator(0))["seen"].tolist() == [[True, False, False]] * 2
    assert problem(PED, mixed=0).sample(case(PED), generator(0))["seen"].all()


def test_a_third_of_the_crops_hold_a_small_lesion_for_sure():
    small = case(VS, (80, 80, 80))
    small.labels[:] = 0
    small.labels[70, 70, 70] = 1
    found = [problem(VS, mixed=0).sample(small, generator(s))["targets"].any() for s in range(60)]
    by_chance = [
        problem(VS, mixed=0, published=frozenset({"crops"})).sample(small, generator(s))["targets"].any()
        for s in range(60)
    ]
    assert 12 <= sum(found) <= 32 and sum(by_chance) <= 5


def test_a_pair_shows_the_same_sequences_unless_as_published():
    ours = problem(PED, mixed=0).sample(case(PED), generator(3))["images"]
    assert torch.equal(ours[0], ours[1])
    theirs = problem(PED, mixed=0, published=frozenset({"pairs"})).sample(case(PED), generator(3))["images"]
    assert torch.equal(theirs[0], ours[0][[0, 0, 1, 1]]) and torch.equal(theirs[1], ours[0][[2, 2, 3, 3]])


def test_the_published_regions_lose_the_enhancing_tumour_of_2023():
    ours = problem(PED).sample(case(PED), generator(0))["targets"]
    theirs = problem(PED, published=frozenset({"regions"})).sample(case(PED), generator(0))["targets"]
    assert ours[2].any() and not theirs[2].any()


def test_published_flips_are_all_or_none():
    draws = [draw_flips(True, generator(s)) for s in range(40)]
    assert {len(axes) for axes in draws} == {0, 3}
    assert {tuple(draw_flips(False, generator(s))) for s in range(80)} > {(0,), (1, 2), ()}


@pytest.mark.parametrize("task", [PED, STROKE, VS])
def test_published_templates_replace_some_channels_and_never_all(task):
    channels = len(task.sequences)
    image, fill = torch.ones(channels, 2, 2, 2), torch.full((channels, 2, 2, 2), 7.0)
    counts = set()
    for seed in range(60):
        mixed, shown = replace_channels(
            image, fill, torch.ones(channels, dtype=bool), task, 3, generator(seed), always=True
        )
        counts.add(int((mixed[:, 0, 0, 0] == 7).sum()))
        assert shown.all()
    assert counts == set(range(min(3, channels - 1) + 1))


@pytest.mark.parametrize("task", [PED, STROKE])
def test_with_templates_half_of_the_replaced_channels_are_what_a_missing_sequence_is_at_inference(task):
    fill = np.full((len(task.sequences), 20, 18, 12), 7, np.float16)
    full = replace(case(task, fill=fill), images=np.ones_like(fill))
    kinds = {0: 0, 7: 0}
    for seed in range(60):
        sample = problem(task, (8, 8, 8), pair_weight=0).sample(full, generator(seed))
        first = sample["images"][0, :, 4, 4, 4]
        for value in kinds:
            kinds[value] += int((first == value).sum())
        left = {s for s, value in zip(task.sequences, first, strict=True) if value != 0}
        assert task.accepts(left)
        assert sample["seen"][0].tolist() == [r in task.offered(left)[0] for r in task.regions]
    assert min(kinds.values()) > 0.25 * sum(kinds.values())


def test_without_templates_a_replaced_sequence_is_missing_and_the_minimum_stays():
    image = torch.ones(3, 2, 2, 2)
    for seed in range(40):
        mixed, shown = replace_channels(image, None, torch.ones(3, dtype=bool), STROKE, 2, generator(seed))
        assert torch.equal(mixed[:, 0, 0, 0] != 0, shown)
        assert shown[STROKE.sequences.index(Sequence.DWI)]
    without_contrast = torch.tensor([s is not Sequence.T1CE for s in PED.sequences])
    assert seen_regions(without_contrast, PED).tolist() == [True, False, False]


def test_what_cannot_be_seen_does_not_teach():
    task = problem(PED)
    sample = task.sample(case(PED), generator(1))
    batch = {name: value[None] for name, value in sample.items()}
    batch["seen"] = torch.tensor([[[True, False, False]] * 2])
    logits = torch.randn(2, 3, 16, 16, 16, generator=generator(0))
    changed = logits.clone()
    changed[:, 1:] += 5
    first, second = (task.loss(lambda _, out=out: out, batch) for out in (logits, changed))
    assert torch.isclose(first, second)
    batch["seen"][:] = True
    assert not torch.isclose(task.loss(lambda _: logits, batch), task.loss(lambda _: changed, batch))


def test_a_region_that_no_sample_shows_does_not_dilute_the_others():
    logits = torch.randn(2, 3, 8, 8, 8, generator=generator(0))
    target = torch.rand(2, 3, 8, 8, 8, generator=generator(1)) > 0.5
    seen = torch.tensor([[True, False, False]] * 2)
    alone = dice_cross_entropy(logits[:, :1], target[:, :1])
    assert float(dice_cross_entropy(logits, target, seen)) == pytest.approx(float(alone), rel=1e-5)
    assert float(soft_dice_loss(logits, target, torch.zeros(2, 3, dtype=torch.bool))) == 0


def test_a_disagreeing_pair_costs():
    sample = problem(PED, mixed=0).sample(case(PED), generator(1))
    batch = {name: value[None] for name, value in sample.items()}
    logits = torch.zeros(2, 3, 16, 16, 16)
    logits[1] = 1.0
    with_pairs, without = (problem(PED, pair_weight=w).loss(lambda _: logits, batch) for w in (0.1, 0.0))
    assert with_pairs - without == pytest.approx(0.1)


def test_a_turn_keeps_the_middle():
    image = torch.zeros(1, 17, 17, 17)
    image[0, 8, 8, 8] = 1
    turned = [turn(image, generator(seed)) for seed in range(20)]
    assert all(t[0, 8, 8, 8] > 0.9 for t in turned)
    assert 2 <= sum(not torch.equal(t, image) for t in turned) <= 12


def test_a_turn_of_a_flat_crop_does_not_shear_it():
    where = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in (24, 20, 12)], indexing="ij"))
    turned = 0
    for seed in range(20):
        found = turn(where, generator(seed))
        middle = found[:, 12, 10, 6]
        steps = [found[:, 13, 10, 6] - middle, found[:, 12, 11, 6] - middle, found[:, 12, 10, 7] - middle]
        jacobian = torch.stack(steps, 1)
        torch.testing.assert_close(jacobian.T @ jacobian, torch.eye(3), atol=1e-4, rtol=0)
        turned += not torch.allclose(jacobian, torch.eye(3))
    assert turned
