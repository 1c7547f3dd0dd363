"""Our segmentation network gives what the published one gives, with the same weights.

`BRAINMVP_TEST_DEVICE=cuda` runs it on a GPU, in single precision without TF32.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from published import entries, formula
from torch import Tensor, nn

from brainmvp.losses import soft_dice_loss, supervised_loss
from brainmvp.networks import build_network
from brainmvp.networks.checkpoint import convert
from brainmvp.networks.published import config_of

DEVICE = os.environ.get("BRAINMVP_TEST_DEVICE", "cpu")


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "parity" / "oracle.npz"))


@pytest.fixture(scope="module")
def image(shared: Path) -> Tensor:
    return torch.from_numpy(formula(shared / "parity").image(1, 4)).to(DEVICE)


@pytest.fixture(scope="module")
def target(shared: Path) -> Tensor:
    return torch.from_numpy(formula(shared / "parity").image(1, 3, 4321) > 0.9).to(DEVICE)


@pytest.fixture(scope="module")
def network(shared: Path) -> nn.Module:
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    published = entries(shared / "parity", "keys_uniunet.txt")
    config = config_of(published, shared / "parity" / "keys_uniunet.txt")
    state, report = convert(published, config, "keys_uniunet.txt")
    assert (len(report.matched), report.initialised, report.dropped) == (355, [], {})
    network = build_network(config)
    network.load_state_dict(state)
    return network.to(DEVICE)


@pytest.fixture(scope="module")
def evaluated(network: nn.Module, image: Tensor) -> tuple[list[Tensor], Tensor]:
    """The features and logits in evaluation, from one pass."""
    features = []
    hook = network.encoder.register_forward_hook(lambda _, __, output: features.extend(output))
    network.eval()
    with torch.inference_mode():
        logits = network(image)
    hook.remove()
    return features, logits


@pytest.fixture(scope="module")
def trained(network: nn.Module, evaluated: tuple, image: Tensor) -> list[Tensor]:
    """The three outputs in training; after `evaluated`, because they move the running means."""
    with torch.no_grad():
        return network.train()(image)


def close(value: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(value.cpu().numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_encoder_features_are_the_published_ones(evaluated: tuple, oracle: dict, level: int) -> None:
    turned = evaluated[0][level - 1].permute(
        0, 1, 4, 2, 3
    )  # the order of the axes inside the published encoder
    step = max(1, turned.shape[-1] // 6)
    close(turned[0, ::8, ::step, ::step, ::step], oracle[f"uniunet/eval/x{level}/slice"])
    summary = [turned.mean(), turned.std(), turned.abs().max(), turned.norm()]
    np.testing.assert_allclose(
        torch.stack(summary).cpu(), oracle[f"uniunet/eval/x{level}/summary"], rtol=1e-3
    )


def test_logits_are_the_published_ones(evaluated: tuple, oracle: dict) -> None:
    close(evaluated[1][0, :, ::6, ::6, ::6], oracle["uniunet/eval/logits/slice"])


def test_deep_supervision_is_the_published_one(trained: list[Tensor], oracle: dict) -> None:
    for output, name in zip(trained, ("out4", "out3", "out"), strict=True):
        close(output[0, :, ::8, ::8, ::8], oracle[f"uniunet/train/{name}/slice"])


def test_running_means_move_as_published(trained: list[Tensor], network: nn.Module, oracle: dict) -> None:
    close(network.encoder.norm.running_mean, oracle["uniunet/train/bn_running_mean"])


def test_losses_are_the_published_ones(trained: list[Tensor], target: Tensor, oracle: dict) -> None:
    total = supervised_loss(trained, target).item()
    assert total == pytest.approx(float(oracle["dice/train_total_3heads"]), rel=1e-5)
    assert soft_dice_loss(trained[-1], target).item() == pytest.approx(float(oracle["dice/val"]), rel=1e-5)
