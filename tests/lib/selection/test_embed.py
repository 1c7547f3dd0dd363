"""Who describes studies."""

from datetime import date

import numpy as np
import torch

from brainmvp.card import Card
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.selection.embed import Embedder, choose_encoder
from brainmvp.tasks import get_task


def test_a_served_network_without_an_encoder_leaves_it_to_the_built_in_one(tmp_path):
    store, task = ModelStore(tmp_path), get_task("tumour")
    assert choose_encoder(store, "tumour").card.id == "tumour@1"
    config = NetworkConfig.preset("segresnet", len(task.sequences), len(task.regions))
    card = Card(
        name="tumour", version=2, task="tumour", title="", sequences=task.sequences, regions=task.outputs,
        network=config, spacing=2.0, window=(64, 64, 64), created=date(2026, 1, 1),
    )  # fmt: skip
    store.serve("tumour", store.add(card, build_network(config).state_dict()).card.version)
    chosen = choose_encoder(store, "tumour")
    assert chosen.card.id == "encoder@1"
    vector = Embedder(chosen).describe(torch.rand(4, 32, 32, 32))
    assert abs(np.linalg.norm(vector) - 1) < 1e-5
