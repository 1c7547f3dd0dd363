"""A foreign checkpoint is imported entry by entry, or refused with the reason."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from published import entries
from small_networks import small

from brainmvp.errors import BrainMVPError
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.networks.checkpoint import convert, export_published, import_published
from brainmvp.networks.published import config_of
from pretraining.model import PretrainingModel
from pretraining.recipe import RECIPES


def weights(config: NetworkConfig, seed: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return build_network(config).state_dict()


def pretrained(config: NetworkConfig, path: Path) -> PretrainingModel:
    """Write a pretraining checkpoint in the published layout, as parallel training saves it."""
    torch.manual_seed(2)
    model = PretrainingModel(config, RECIPES["script"], (16, 16, 16))
    export_published(path, model.state_dict(), config, pretraining=True)
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {f"module.{name}": value for name, value in content["state_dict"].items()}
    torch.save(content | {"current_epoch": 3, "val_best": np.float64(0.5)}, path)
    return model


@pytest.mark.parametrize("backbone", ["uniformer", "unet"])
def test_export_and_import_give_the_same_weights(backbone: str, tmp_path: Path) -> None:
    config = small(backbone)
    state = weights(config)
    export_published(tmp_path / "network.pt", state, config)
    found, found_config, templates, report = import_published(tmp_path / "network.pt")
    assert (found_config, templates, report.initialised, report.dropped) == (config, None, [], {})
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert [path.name for path in tmp_path.iterdir()] == ["network.pt"]


@pytest.mark.parametrize("backbone", ["uniformer", "unet"])
def test_a_pretrained_encoder_comes_with_its_templates(backbone: str, tmp_path: Path) -> None:
    model = pretrained(small(backbone, in_channels=1, out_channels=1), tmp_path / "model.pt")
    state, found, templates, _ = import_published(tmp_path / "model.pt")
    assert (found.in_channels, found.out_channels) == (1, 1)
    assert torch.equal(templates, model.templates)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(state[f"encoder.{name}"], value)


@pytest.mark.parametrize(
    ("keys", "used", "dropped"),
    [("keys_pretrain_uniformer.txt", 334, 18), ("keys_pretrain_unet.txt", 111, 2)],
)
def test_every_published_pretraining_entry_is_accounted_for(
    shared: Path, keys: str, used: int, dropped: int
) -> None:
    published = entries(shared / "parity", keys)
    _, report = convert(published, config_of(published, Path(keys)), keys)
    assert (len(report.matched), len(report.dropped)) == (used, dropped)
    assert used + dropped == len(published)
    assert set(report.dropped.values()) == {"of use in pretraining only"}
    assert not [name for name in report.initialised if name.startswith("encoder.")]


def test_report_names_what_is_new(tmp_path: Path) -> None:
    config = small("uniformer", in_channels=1, out_channels=1)
    pretrained(config, tmp_path / "model.pt")
    *_, report = import_published(tmp_path / "model.pt")
    assert "newly initialised: head.weight" in str(report)


def test_an_encoder_with_a_gap_is_refused(tmp_path: Path) -> None:
    config = small("uniformer")
    export_published(tmp_path / "network.pt", weights(config), config)
    content = torch.load(tmp_path / "network.pt", weights_only=True)
    del content["state_dict"]["encoder.blocks3.0.attn.qkv.weight"]
    torch.save(content, tmp_path / "network.pt")
    with pytest.raises(BrainMVPError, match=r"1 entries of the encoder .*stages\.2"):
        import_published(tmp_path / "network.pt")


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(BrainMVPError, match="not of a BrainMVP network"):
        import_published(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))]
)
def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, save: Callable) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path(tmp_path / "sprung").touch, ())

    save({"state_dict": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(BrainMVPError, match="loaded safely"):
        import_published(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04cut"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(BrainMVPError, match=r"bad\.pt"):
        import_published(tmp_path / "bad.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrainMVPError, match=r"gone\.pt: no such file"):
        import_published(tmp_path / "gone.pt")


def test_a_variant_without_a_published_layout_is_not_written(tmp_path: Path) -> None:
    config = small("unet", patches=True, fine_width=8)
    with pytest.raises(BrainMVPError, match="no published layout"):
        export_published(tmp_path / "network.pt", weights(config), config)
