"""A published file becomes a model to fine-tune from, with its templates; anything else is refused."""

from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import torch

from brainmvp.errors import BrainMVPError
from brainmvp.importing import find_imported, import_model, import_once
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.networks.checkpoint import export_published
from brainmvp.sequences import Sequence
from brainmvp.templates import template_volumes

CONFIG = NetworkConfig(
    backbone="unet", in_channels=1, out_channels=3, widths=(8, 16, 24, 32), depths=(1, 1, 1, 1)
)


@pytest.fixture
def published(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "published.pt"
    state = build_network(CONFIG).state_dict()
    export_published(path, state, CONFIG)
    content = torch.load(path, weights_only=True)
    content["state_dict"]["rep_template"] = torch.rand(8, 24, 24, 15)
    content["state_dict"] = {f"module.{key}": value for key, value in content["state_dict"].items()}
    torch.save(content, path)
    return path, state


def test_weights_and_templates_are_stored(published, tmp_path):
    path, state = published
    model, report, files = import_model(path, ModelStore(tmp_path / "home"), "published")
    assert model.card.id == "published@1" and model.card.kind == "encoder"
    weights = model.load_weights()
    # The last layer of a pretraining checkpoint predicts intensities: it is dropped, and so not stored.
    learned = {key: value for key, value in state.items() if not key.startswith("decoder.head.")}
    assert weights.keys() == learned.keys()
    assert all(torch.equal(weights[key], value) for key, value in learned.items())
    assert len(report.matched) == len(learned) + 1 and len(report.dropped) == 2
    assert [file.name for file in files] == [f"{sequence}.nii.gz" for sequence in Sequence]
    assert nib.load(files[0]).shape == (24, 24, 15)


def test_processes_that_ask_at_once_get_one_version(published, tmp_path):
    path, _ = published
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: import_once(path, ModelStore(tmp_path / "home")), range(4)))
    assert {model.card.id for model, _ in found} == {found[0][0].card.id}
    assert sum(report is not None for _, report in found) == 1


@pytest.mark.parametrize("shape", [(3, 24, 24, 15), (8, 24, 24)])
def test_what_cannot_be_stored_whole_leaves_no_version(published, tmp_path, shape):
    path, _ = published
    content, store = torch.load(path, weights_only=True), ModelStore(tmp_path / "home")
    content["state_dict"]["module.rep_template"] = torch.rand(shape)
    torch.save(content, path)
    with pytest.raises(BrainMVPError, match="Templates are"):
        import_model(path, store, "published")
    assert store.versions("published") == [] and not list((store.root / "published").iterdir())


def test_a_full_disk_leaves_no_imported_version(published, tmp_path, monkeypatch):
    def full(volume, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainmvp.templates.write_volume", full)
    store = ModelStore(tmp_path / "home")
    with pytest.raises(BrainMVPError, match=r"published@1 could not be stored .* \(No space left"):
        import_model(published[0], store, "published")
    assert store.versions("published") == []


def test_a_file_is_known_again_by_its_content_and_not_by_its_name(published, tmp_path):
    path, _ = published
    store = ModelStore(tmp_path / "home")
    assert find_imported(path, store) is None and find_imported(tmp_path / "absent.pt", store) is None
    imported, _, _ = import_model(path, store)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / path.name
    export_published(other, build_network(CONFIG).state_dict(), CONFIG)
    assert find_imported(other, store) is None
    assert find_imported(path.rename(tmp_path / "renamed.pt"), store).card == imported.card


def test_templates_of_the_published_size_lie_on_the_brats_grid():
    volume = template_volumes(torch.zeros(8, 240, 240, 155))[Sequence.T1]
    # BraTS files are LPS with their first voxel at (0, 239, 0): the same corner is (239, 239, 0) here.
    corner = volume.affine @ np.array([239, 239, 0, 1])
    assert corner[:3].tolist() == [0, 239, 0]
