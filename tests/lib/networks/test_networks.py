"""The networks segment any grid of their stride, learn, and keep the cost of the compact ones."""

from __future__ import annotations

import pytest
import torch
from small_networks import SMALL, small

from brainmvp.errors import BrainMVPError
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.networks.config import PRESETS
from brainmvp.networks.norms import GroupNorm, InstanceNorm


@pytest.mark.parametrize("backbone", SMALL)
def test_logits_lie_on_the_grid_of_the_image(backbone: str) -> None:
    network = build_network(small(backbone)).eval()
    assert network(torch.rand(2, 2, 32, 48, 16)).shape == (2, 3, 32, 48, 16)


@pytest.mark.parametrize("backbone", SMALL)
@pytest.mark.parametrize("shape", [(1, 2, 30, 32, 32), (1, 3, 32, 32, 32), (2, 32, 32, 32)])
def test_a_grid_that_does_not_fit_is_refused_in_words(backbone: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BrainMVPError, match="multiples of"):
        build_network(small(backbone))(torch.rand(shape))


@pytest.mark.parametrize("backbone", SMALL)
def test_every_weight_learns_and_the_loss_falls(backbone: str) -> None:
    torch.manual_seed(0)
    network = build_network(small(backbone, out_channels=1)).train()
    image = torch.rand(1, 2, 16, 32, 16)
    target = (image[:, :1] > 0.5).float()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(image), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(entry.grad is not None for entry in network.parameters())
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize(
    ("backbone", "norm", "batch"),
    [("uniformer", "batch", 1), ("uniformer", "batch", 2), ("uniformer", "group", 1), ("unet", "group", 1)],
)
def test_gradients_are_those_of_finite_differences(backbone: str, norm: str, batch: int) -> None:
    torch.manual_seed(0)
    network = build_network(small(backbone, norm=norm)).double().train()
    image = torch.rand(batch, 2, 32, 32, 32, dtype=torch.double)
    direction, weight = torch.randn_like(image), torch.randn(batch, 3, 32, 32, 32, dtype=torch.double)

    def value(step: float) -> torch.Tensor:
        return (network(image + step * direction) * weight).sum()

    image.requires_grad_()
    (gradient,) = torch.autograd.grad(value(0.0), image)
    with torch.no_grad():
        difference = (value(1e-8) - value(-1e-8)) / 2e-8  # small, because of the kinks of the activations
    assert (gradient * direction).sum().item() == pytest.approx(difference.item(), rel=1e-4)


def test_deep_supervision_predicts_three_times_in_training_and_once_otherwise() -> None:
    network = build_network(small("uniformer", deep_supervision=True))
    image = torch.rand(1, 2, 32, 32, 32)
    assert [tuple(output.shape) for output in network.train()(image)] == [(1, 3, 32, 32, 32)] * 3
    assert network.eval()(image).shape == (1, 3, 32, 32, 32)


@pytest.mark.parametrize("backbone", SMALL)
def test_half_precision_stays_close(backbone: str) -> None:
    torch.manual_seed(0)
    network = build_network(small(backbone)).eval()
    image = torch.rand(1, 2, 32, 32, 32)
    with torch.inference_mode():
        single = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(image).float()
    assert (half - single).norm() < 0.05 * single.norm()


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith(("-compact", "-light"))])
def test_small_presets_stay_below_six_million_parameters(name: str) -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig.preset(name, in_channels=6, out_channels=4))
    assert sum(entry.numel() for entry in network.parameters()) < 6e6


def test_published_sizes() -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig.preset("uniformer", in_channels=4, out_channels=3))
    assert sum(entry.numel() for entry in network.parameters()) == 34_323_593


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depths": (1, 1)}, "one entry per level"),
        ({"widths": (16, 16, 32, 40)}, "head_dim"),
        ({"widths": (16, 12, 32, 32), "norm": "group"}, "8 groups"),
        ({"width": 3}, "Extra inputs"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NetworkConfig(in_channels=1, out_channels=1, **(SMALL["uniformer"] | changes))


@pytest.mark.parametrize(
    ("ours", "reference"),
    [(InstanceNorm(), torch.nn.InstanceNorm3d(16)), (GroupNorm(16), torch.nn.GroupNorm(8, 16))],
)
def test_norms_are_those_of_torch_far_from_zero(ours: torch.nn.Module, reference: torch.nn.Module) -> None:
    volume = 50 + torch.randn(2, 16, 8, 9, 10, generator=torch.Generator().manual_seed(0))
    channels_last = volume.to(memory_format=torch.channels_last_3d)
    expected = reference.double()(volume.double())
    torch.testing.assert_close(ours(channels_last).double(), expected, rtol=1e-4, atol=1e-4)
    assert ours(channels_last).is_contiguous(memory_format=torch.channels_last_3d)
