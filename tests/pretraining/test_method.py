"""The proxy tasks on small volumes: any subset of sequences, any place, the same function as the long way."""

from __future__ import annotations

import random

import pytest
import torch
from small_networks import SMALL

from brainmvp.networks import NetworkConfig
from pretraining.decoder import LinearDecoder
from pretraining.losses import contrastive_loss
from pretraining.masking import TEMPLATE, draw_plan, masked_views
from pretraining.model import PretrainingModel
from pretraining.recipe import RECIPES
from pretraining.templates import template_patches

BLOCKS = (4, 4, 4)
NETWORKS = SMALL | {
    "unet from patches": {"backbone": "unet", "widths": (8, 16), "depths": (1, 1), "patches": True, "fine_width": 8},
}  # fmt: skip


def draw(sequences: list[list[int]], seed: int = 0, **options: object):
    return draw_plan(
        sequences, BLOCKS, 0.875, torch.Generator().manual_seed(seed), random.Random(seed), **options
    )


def test_every_sequence_is_an_item() -> None:
    plan = draw([[1, 2, 3, 0], [4], [7, 0]])
    assert plan.sequence.tolist() == [1, 2, 3, 0, 4, 7, 0]
    assert plan.study.tolist() == [0, 0, 0, 0, 1, 2, 2]


def test_one_position_is_taken_modulo_what_a_study_has() -> None:
    assert draw([[1, 2, 3], [5, 6]], position=3).sequence.tolist() == [1, 6]


def test_a_study_of_one_sequence_is_filled_from_its_template() -> None:
    plan = draw([[4], [4, 4]])
    assert plan.other.tolist() == [TEMPLATE, TEMPLATE, TEMPLATE]


def test_the_other_sequence_has_another_name() -> None:
    plan = draw([[1, 1, 2]] * 20)
    names = [[1, 1, 2][channel] for channel in plan.other.tolist()]
    assert all(name != own for name, own in zip(names, plan.sequence.tolist(), strict=True))


def test_masks_keep_the_stated_share_and_differ_between_views() -> None:
    plan = draw([[1, 2]])
    assert plan.keep_first.sum((1, 2, 3)).tolist() == [8, 8]  # 64 blocks, 12.5 %
    assert not torch.equal(plan.keep_first, plan.keep_second)


def test_views_show_own_voxels_where_kept_and_the_filling_elsewhere() -> None:
    plan = draw([[1, 2]], position=0)
    images = torch.stack([torch.full((16, 16, 16), 1.0), torch.full((16, 16, 16), 2.0)])[None]
    first, second, target = masked_views(images, torch.zeros(1, 16, 16, 16), plan)
    assert (first == 1).sum() == (second == 1).sum() == 8 * 4**3
    assert first.unique().tolist() == [0, 1]
    assert second.unique().tolist() == [1, 2]
    assert (target == 1).all()
    corner = plan.keep_first[0].nonzero()[0] * 4
    assert (
        first[0, 0, corner[0] : corner[0] + 4, corner[1] : corner[1] + 4, corner[2] : corner[2] + 4] == 1
    ).all()


@pytest.mark.parametrize("start", [(0, 0, 0), (-3, 2, 8), (9, -20, 40)])
def test_a_patch_outside_the_template_grid_is_padded_not_refused(start: tuple[int, int, int]) -> None:
    templates = torch.zeros(8, 12, 14, 16)
    templates[3] = torch.arange(12 * 14 * 16).view(12, 14, 16)
    patch = template_patches(templates, torch.tensor([3]), torch.tensor([start]), (8, 8, 8), 1e-9)[0]
    for voxel in torch.cartesian_prod(*[torch.arange(0, 8, 3)] * 3).tolist():
        place = [first + offset for first, offset in zip(start, voxel, strict=True)]
        inside = all(0 <= value < edge for value, edge in zip(place, (12, 14, 16), strict=True))
        expected = templates[(3, *place)] / (12 * 14 * 16 - 1) if inside else 0.0
        assert patch[tuple(voxel)] == pytest.approx(float(expected), abs=1e-6)


def test_the_composed_decoder_is_the_chain_of_its_convolutions() -> None:
    torch.manual_seed(0)
    decoder = LinearDecoder((4, 6, 8, 10), 4).double()
    decoder.kernel()
    feature = torch.randn(2, 10, 2, 3, 1, dtype=torch.double)
    chain = feature
    for up in decoder.ups:
        chain = up(chain)
    torch.testing.assert_close(decoder(feature), decoder.head(chain))


def test_contrast_is_zero_for_one_item_and_lower_for_matching_views() -> None:
    views = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    assert contrastive_loss(views[:1], views[:1], 1.0) == 0
    assert contrastive_loss(views, views, 0.1) < contrastive_loss(views, views.roll(1, 0), 0.1)


def test_sequences_of_one_study_are_no_negatives_of_each_other() -> None:
    first, second = (torch.randn(5, 32, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    assert contrastive_loss(first, second, 1.0, torch.tensor([3] * 5)) == 0
    studies = torch.tensor([0, 0, 1, 1, 1])
    left, right = (torch.nn.functional.normalize(view, dim=1) for view in (first, second))
    rows = []
    for one, other in ((left, right), (right, left)):
        for n in range(5):
            seen = torch.stack([one[n] @ other[m] for m in range(5) if m == n or studies[m] != studies[n]])
            rows.append(seen.logsumexp(0) - one[n] @ other[n])
    torch.testing.assert_close(contrastive_loss(first, second, 1.0, studies), torch.stack(rows).mean())
    assert contrastive_loss(first, second, 1.0, torch.arange(5)) == contrastive_loss(first, second, 1.0)


@pytest.mark.parametrize("backbone", NETWORKS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_reaches_every_weight_and_the_templates_it_used(backbone: str, recipe: str) -> None:
    torch.manual_seed(0)
    network = NetworkConfig(in_channels=1, out_channels=1, **NETWORKS[backbone])
    model = PretrainingModel(network, RECIPES[recipe], (20, 20, 20)).train()
    torch.nn.init.uniform_(model.templates)
    plan = draw([[1, 2], [5]], position=None if RECIPES[recipe].all_sequences else 0)
    result = model(torch.rand(2, 3, 32, 32, 32), torch.tensor([[0, 0, 0], [-4, 2, 30]]), plan)
    losses = model.losses(result, epoch=1200)
    losses.total.backward()
    assert result.first.shape == result.target.shape
    assert all(entry.grad is not None and entry.grad.isfinite().all() for entry in model.parameters())
    used = {index for index in range(8) if model.templates.grad[index].any()}
    assert used <= set(plan.sequence.tolist()) and 1 in used


def test_zero_templates_have_a_tame_first_gradient_with_our_recipe() -> None:
    network = NetworkConfig(in_channels=1, out_channels=1, **SMALL["unet"])
    model = PretrainingModel(network, RECIPES["paper"], (32, 32, 32))
    result = model(torch.rand(1, 1, 32, 32, 32), torch.zeros(1, 3, dtype=torch.long), draw([[0]]))
    model.losses(result, 0).total.backward()
    assert model.templates.grad.norm() < 1e3
