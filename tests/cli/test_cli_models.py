"""`brainmvp models`: what is there, what it says of itself, which version is served, and foreign checkpoints."""

import json

import pytest
import torch
from commands import done

from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.networks.checkpoint import export_published


@pytest.fixture
def checkpoint(tmp_path):
    """A small segmenter in the layout of the published code, for four sequences and three regions."""
    config = NetworkConfig.preset("unet-compact", 4, 3)
    path = tmp_path / "Best Model.pt"
    torch.manual_seed(3)
    export_published(path, build_network(config).state_dict(), config)
    return path


def test_list_marks_what_is_served(brainmvp, tiny_models):
    listed = json.loads(brainmvp("models", "list", "--json").stdout)
    served = {
        model["task"]: model["model"] for model in listed["models"] if model["served"] and model["task"]
    }
    store = ModelStore(tiny_models)
    assert served == {name: store.resolve(name).card.id for name in ("stroke", "tumour")}
    assert served["tumour"] in brainmvp("models", "list").output


def test_show_prints_the_card(brainmvp, home):
    card = json.loads(done(brainmvp("models", "show", "tumour", "--json")))
    said = done(brainmvp("models", "show", "tumour"))
    first, second, *lines = said.splitlines()
    assert first == f"tumour@1: {card['title']}" and "Not a medical device" in second
    assert [f"  - {failure}" for failure in card["known_failures"]] == lines[2:][
        : len(card["known_failures"])
    ]
    assert "  T1, T1CE, T2, FLAIR, at 2 mm" in lines and "  ET: Enhancing tumour" in lines
    score = card["metrics"]["real development scans, none trained on"]["mean dice"]["FLAIR"]["WT"]
    assert f"; FLAIR: WT {score}; " in said
    assert card["data"][-1] in said and "widths" not in said
    assert "Hardly trained" in done(brainmvp("models", "show", "encoder"))


def test_import_says_what_became_of_the_entries_and_stores_versions(brainmvp, home, checkpoint):
    result = brainmvp("models", "import", checkpoint, "--name", "mine")
    assert result.exit_code == 0, result.output
    assert "0 dropped, 0 newly initialised" in result.output
    torch.manual_seed(3)
    expected = build_network(NetworkConfig.preset("unet-compact", 4, 3)).state_dict()
    stored = ModelStore(home).resolve("mine@1").load_weights()
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], expected[name]) for name in expected)

    brainmvp("models", "import", checkpoint, "--name", "mine")
    assert ModelStore(home).resolve("mine").card.version == 2
    assert brainmvp("models", "serve", "mine@1").exit_code == 0
    assert ModelStore(home).resolve("mine").card.version == 1


def test_what_cannot_be_imported_is_not_stored(brainmvp, home, checkpoint, tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    refused = brainmvp("models", "import", tmp_path / "text.pt")
    unnamed = brainmvp("models", "import", checkpoint, "--name", "Mein Netz")
    assert refused.exit_code == unnamed.exit_code == 2
    assert "text.pt is not a checkpoint" in refused.stderr
    assert "is no name for a model" in unnamed.stderr
    assert not (home / "models").exists()


def test_serving_needs_a_version_that_exists(brainmvp, home, checkpoint):
    brainmvp("models", "import", checkpoint, "--name", "mine")
    assert "write mine@VERSION" in brainmvp("models", "serve", "mine").stderr
    assert "no version 9" in brainmvp("models", "serve", "mine@9").stderr
