"""MONAI's networks, built, stored and found again like ours."""

from datetime import date

import pytest
import torch

from brainmvp.card import Card
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network


@pytest.mark.parametrize("name", ["segresnet", "dynunet"])
def test_a_peer_is_stored_and_gives_the_same_again(name, tmp_path):
    config = NetworkConfig.preset(name, 2, 1)
    torch.manual_seed(0)
    network = build_network(config).eval()
    card = Card(
        name=name, version=1, task="stroke", title="", sequences=("DWI", "ADC"), regions=("STROKE",), network=config,
        spacing=2.0, window=(32, 32, 32), created=date(2026, 1, 1),
    )  # fmt: skip
    model = ModelStore(tmp_path).add(card, network.state_dict())
    image = torch.rand(1, 2, 32, 32, 32)
    with torch.inference_mode():
        logits = network(image)
        assert logits.shape == (1, 1, 32, 32, 32)
        assert torch.equal(model.load_network()(image), logits)
