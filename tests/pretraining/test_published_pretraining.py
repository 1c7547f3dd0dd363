"""Our pretraining step gives the published losses, views and gradients, with the same weights and draws.

`BRAINMVP_TEST_DEVICE=cuda` runs it on a GPU, in single precision without TF32.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published import entries, formula
from torch import Tensor

from brainmvp.networks import NetworkConfig
from brainmvp.networks.layout import from_published, published_name
from brainmvp.sequences import Sequence, sequence_of
from pretraining.masking import Plan, draw_plan
from pretraining.model import Losses, PretrainingModel, Reconstruction
from pretraining.recipe import RECIPES

DEVICE = os.environ.get("BRAINMVP_TEST_DEVICE", "cpu")
SCRIPT = RECIPES["script"]
TEMPLATES = list(Sequence)


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "parity" / "oracle.npz"))


@pytest.fixture(scope="module")
def meta(shared: Path) -> dict:
    return json.loads((shared / "parity" / "meta.json").read_text())


@pytest.fixture(scope="module")
def images(shared: Path) -> Tensor:
    return torch.from_numpy(formula(shared / "parity").image(2, 4)).to(DEVICE)


def published_model(shared: Path, backbone: str) -> PretrainingModel:
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    published = entries(shared / "parity", f"keys_pretrain_{backbone}.txt")
    network = NetworkConfig.preset(backbone, in_channels=1, out_channels=1)
    model = PretrainingModel(network, SCRIPT, tuple(published["rep_template"].shape[1:]))
    model.load_state_dict(from_published(model.state_dict(), published, backbone, pretraining=True))
    return model.to(DEVICE)


def plan_of(meta: dict, oracle: dict, case: str, epoch: int) -> Plan:
    """The published draws: masks from the seed, the other sequence as it was picked (see the parity README)."""
    sequences = [[TEMPLATES.index(sequence_of(name)) for name in row.split(",")] for row in meta["series"]]
    plan = draw_plan(
        sequences, (12, 12, 12), SCRIPT.mask_rate, torch.Generator().manual_seed(7), random.Random(7),
        position=meta["index"], other_sequence=SCRIPT.shows_other_sequence(epoch),
    )  # fmt: skip
    picked = oracle[f"{case}/picked_modality"]
    return replace(plan, other=torch.from_numpy(picked)) if len(picked) else plan


def check(result: Reconstruction, losses: Losses, case: str, oracle: dict) -> None:
    for number, view in enumerate((result.first_view, result.second_view), 1):
        np.testing.assert_allclose(
            view[:, 0, ::6, ::6, ::6].detach().cpu(),
            oracle[f"{case}/view{number}/slice"],
            rtol=1e-6,
            atol=1e-7,
        )
    expected = oracle[f"{case}/losses(total,rec1,rec2,cons)"]
    assert torch.stack(losses).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.fixture(scope="module")
def uniformer(shared: Path) -> PretrainingModel:
    return published_model(shared, "uniformer")


def test_uniformer_before_epoch_300_fills_both_views_from_the_template(
    uniformer: PretrainingModel, images: Tensor, meta: dict, oracle: dict
) -> None:
    with torch.no_grad():
        plan = plan_of(meta, oracle, "uniformer/ep0", 0)
        result = uniformer.train()(images, torch.tensor(meta["rep_start_point"]), plan)
    check(result, uniformer.losses(result, 0), "uniformer/ep0", oracle)


def test_uniformer_losses_and_gradients_in_the_later_phases(
    uniformer: PretrainingModel, images: Tensor, meta: dict, oracle: dict
) -> None:
    plan = plan_of(meta, oracle, "uniformer/ep1200", 1200)
    result = uniformer.train()(images, torch.tensor(meta["rep_start_point"]), plan)
    check(result, uniformer.losses(result, 301), "uniformer/ep301", oracle)
    losses = uniformer.losses(result, 1200)
    check(result, losses, "uniformer/ep1200", oracle)

    losses.total.backward()
    prefix = "uniformer/ep1200/gradnorm/"
    expected = {name.removeprefix(prefix): float(oracle[name]) for name in oracle if name.startswith(prefix)}
    found = {
        published_name(name, "uniformer", pretraining=True): parameter.grad.norm().item()
        for name, parameter in uniformer.named_parameters()
    }
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6 * max(expected.values()))
    gradient = uniformer.templates.grad[:, ::16, ::16, ::16].cpu().numpy()
    reference = oracle["uniformer/ep1200/grad_template/slice"]
    np.testing.assert_allclose(gradient, reference, rtol=1e-3, atol=1e-4 * np.abs(reference).max())


def test_unet_losses(shared: Path, images: Tensor, meta: dict, oracle: dict) -> None:
    model = published_model(shared, "unet").train()
    with torch.no_grad():
        plan = plan_of(meta, oracle, "unet/ep1200", 1200)
        result = model(images, torch.tensor(meta["rep_start_point"]), plan)
    check(result, model.losses(result, 1200), "unet/ep1200", oracle)
