"""What a run gives is what others load: our store, the published layout, the templates in space."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from cohorts import make_config

from brainmvp.card import mark_of
from brainmvp.errors import BrainMVPError
from brainmvp.importing import import_model
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.sequences import Sequence
from pretraining.run.checkpoint import saved
from pretraining.run.devices import make_fabric
from pretraining.run.export import add_to_store
from pretraining.run.loop import pretrain

NETWORKS = {
    "uniformer": NetworkConfig(
        backbone="uniformer", in_channels=1, out_channels=1, widths=(8, 16, 32, 32), depths=(1, 1, 1, 1), fine_width=8,
        head_dim=16, norm="group",
    ),
    "unet": NetworkConfig(backbone="unet", in_channels=1, out_channels=1, widths=(8, 16), depths=(1, 1)),
    "unet from patches": NetworkConfig(
        backbone="unet", in_channels=1, out_channels=1, widths=(8, 16), depths=(1, 1), patches=True, fine_width=8
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(prepared: Path) -> Callable[[str], Path]:
    """Return a function that gives the run folder of a backbone, run once."""

    @cache
    def run(backbone: str) -> Path:
        out = prepared / f"export {backbone}"
        config = make_config(network=NETWORKS[backbone], epochs=1)
        assert pretrain(prepared / "index.json", out, config, make_fabric("cpu"), workers=0) == out / "model"
        return out

    return run


@pytest.mark.parametrize("backbone", NETWORKS)
def test_a_segmentation_network_begins_with_the_pretrained_weights(exported, tmp_path, backbone) -> None:
    model = exported(backbone) / "model"
    kept = add_to_store(model, ModelStore(tmp_path / "home"), "our-encoder")
    assert kept.card.kind == "encoder" and kept.card.id == "our-encoder@1"
    assert kept.card.sequences == (Sequence.FLAIR, Sequence.T1, Sequence.T2, Sequence.DWI)
    assert kept.card.training["config"]["spacing"] == 4.0 and kept.card.metrics["psnr_1"] > 0
    weights = kept.load_weights()
    network = build_network(NETWORKS[backbone])
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected and not [name for name in missing if name.startswith("encoder.")]
    trained = torch.load(saved(exported(backbone) / "checkpoints")[0], weights_only=True)["model"]
    for name in weights:
        if name.startswith("encoder."):
            assert torch.equal(weights[name], trained[name])
    if backbone != "uniformer":  # the decoder is shared but for its last convolution
        assert any(name.startswith("decoder.") for name in weights)


@pytest.mark.parametrize("backbone", ["uniformer", "unet"])
def test_the_published_layout_comes_back_as_the_same_weights(exported, tmp_path, backbone) -> None:
    model = exported(backbone) / "model"
    entries = torch.load(model / "published.pt", weights_only=True)["state_dict"]
    assert "rep_template" in entries
    assert (
        "encoder.uniformer.patch_embed1.proj.weight" if backbone == "uniformer" else "conv1a.weight"
    ) in entries
    store = ModelStore(tmp_path / "home")
    ours, theirs = (
        add_to_store(model, store, "ours"),
        import_model(model / "published.pt", store, "theirs")[0],
    )
    weights = theirs.load_weights()
    assert weights.keys() == ours.load_weights().keys()
    assert all(torch.equal(value, weights[name]) for name, value in ours.load_weights().items())


def test_the_card_marks_the_patients_whose_scans_were_seen(exported) -> None:
    card = json.loads((exported("unet") / "model" / "card.json").read_text())
    seen = ("in/a", "in/b", "in/c", "in/d")  # and not e, who was held out
    assert card["training"]["scans"] == sorted(map(mark_of, seen))


def test_templates_lie_where_their_grid_does(exported) -> None:
    model = exported("unet") / "model"
    names = {path.name for path in (model / "templates").iterdir()}
    assert names == {"FLAIR.nii.gz", "T1.nii.gz", "T2.nii.gz", "DWI.nii.gz"}
    image = nib.load(model / "templates" / "T1.nii.gz")
    assert image.shape == (60, 60, 39)
    np.testing.assert_allclose(image.header.get_zooms(), 4)
    middle = image.affine @ [29.5, 29.5, 19, 1]
    np.testing.assert_allclose(middle[:3], [-119.5, 119.5, 77])  # of the SRI24 grid
    assert image.get_fdata().any()


def test_an_unfinished_run_has_no_model_to_keep(tiny_index, tmp_path) -> None:
    pretrain(tiny_index, tmp_path / "run", make_config(), make_fabric("cpu"), workers=0, steps=1)
    with pytest.raises(BrainMVPError, match="let the run come to its end"):
        add_to_store(tmp_path / "run" / "model", ModelStore(tmp_path / "home"), "encoder")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["name"] == "paper"
