"""Classification over REST: probabilities in the answer, and the rules of segmentation for missing sequences."""

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import torch
from app_server import Server

from brainmvp.card import Card
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_classifier
from brainmvp.tasks import get_task

GRADE = get_task("brats-2018-grade")


@pytest.fixture
def model(tiny_models: Path) -> Iterator[str]:
    """The id of a classifier with random weights, in the store that the server reads, for one test."""
    store = ModelStore(tiny_models)
    config = NetworkConfig.preset("unet-compact", 4, 2)
    torch.manual_seed(3)
    card = Card(
        name=GRADE.name, version=store.next_version(GRADE.name), kind="classification", task=GRADE.name, title="Random",
        sequences=GRADE.sequences, regions=GRADE.outputs, network=config, spacing=2.0, grid=(24, 24, 16),
        window=(16, 16, 16), created=date(2026, 1, 1),
    )  # fmt: skip
    stored = store.add(card, build_classifier(config).state_dict())
    store.serve(card.name, card.version)
    yield stored.card.id
    shutil.rmtree(store.root / GRADE.name)


def test_probabilities_are_in_the_answer(server: Server, new_study: Callable[[str], str], model: str) -> None:
    info = server.get_json("/info/")["models"][GRADE.name]
    assert info["type"] == "classification" and info["sequences"] == ["T1", "T1CE", "T2", "FLAIR"]
    study = new_study("T1CE FLAIR")
    answer = server.call("POST", f"/infer/{GRADE.name}", params={"image": study, "output": "json"})
    assert answer.status_code == 200, answer.text
    facts = answer.json()
    assert set(facts["probabilities"]) == {"LGG", "HGG"}
    assert sum(facts["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert facts["model"] == model and facts["sequences_filled"] == ["T1", "T2"]
    assert facts["answer"] == max(facts["probabilities"], key=facts["probabilities"].get)


def test_what_a_classifier_cannot_do_is_refused_in_a_sentence(
    server: Server, new_study: Callable[[str], str], model: str
) -> None:
    image = {"image": new_study("DWI ADC"), "output": "json"}
    said = server.refused(422, "POST", f"/infer/{GRADE.name}", params=image)
    assert "the brats-2018-grade task needs T1 or T1CE" in said
    image["output"] = "image"
    said = server.refused(400, "POST", f"/infer/{GRADE.name}", params=image)
    assert "gives probabilities, not an image" in said
    said = server.refused(404, "POST", "/infer/adni", params=image | {"output": "json"})
    assert "There is no model 'adni'" in said
