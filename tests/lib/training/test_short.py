"""A short training in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainmvp.annotation.cohorts import untrained
from brainmvp.modelstore import Model
from brainmvp.phantom.generator import make_phantom
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task
from brainmvp.training.short import Brain, brain_of, learn_shortly, region_dice, region_probabilities

TUMOUR = get_task("tumour")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def brains() -> list[Brain]:
    return [
        brain_of(make_phantom(seed, "tumour", spacing=8.0, difficulty=0.0, disease="tumour"), TUMOUR)
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return untrained(TUMOUR, 8.0, tmp_path_factory.mktemp("start"))


def test_a_phantom_is_cropped_to_its_brain(brains: list[Brain]) -> None:
    for brain in brains:
        assert brain.images.shape == (4, *brain.labels.shape)
        inside = (brain.images != 0).any(0)
        assert all(inside.transpose(0, axis).flatten(1).any(1)[[0, -1]].all() for axis in range(3))
        assert brain.labels.any() and not brain.labels[~inside].any()


def test_a_phantom_is_normalised_by_what_was_scanned() -> None:
    phantom = make_phantom(0, "tumour", spacing=8.0, difficulty=0.0, disease="tumour")
    flair = phantom.images[Sequence.FLAIR]
    z = torch.arange(flair.shape[2])
    part = phantom.images | {Sequence.FLAIR: torch.where(z < len(z) // 2, 0.0, flair)}
    images = brain_of(replace(phantom, images=part), TUMOUR).images[TUMOUR.sequences.index(Sequence.FLAIR)]
    assert 0.3 < images[images != 0].median() < 0.7


def test_a_few_steps_teach_what_a_fresh_network_does_not_know(brains: list[Brain], start: Model) -> None:
    options = {"window": start.card.window, "lr": 1e-2, "seed": 1}
    network, again = (
        learn_shortly(start.load_network(), TUMOUR, brains, steps=25, **options) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    before, after = (
        region_dice(n, TUMOUR, brains, start.card.network.stride)[:, 0].mean()
        for n in (start.load_network(), network)
    )
    assert after > before + 0.2
    probabilities = region_probabilities(network, brains[0], start.card.network.stride)
    assert probabilities.shape == (3, *brains[0].labels.shape)
    assert not probabilities[:, (brains[0].images == 0).all(0)].any()


def test_what_the_sequences_cannot_show_is_not_scored(brains: list[Brain], start: Model) -> None:
    images = brains[0].images.clone()
    images[TUMOUR.sequences.index(Sequence.T1CE)] = 0
    row = region_dice(start.load_network(), TUMOUR, [Brain(images, brains[0].labels)], 4)[0]
    assert not np.isnan(row[0]) and np.isnan(row[1:]).all()
