"""A model is a version: stored whole, never overwritten, and any can be served again."""

import json
import resource
from datetime import date

import pytest
import torch

from brainmvp import modelstore
from brainmvp.card import Card, check_name
from brainmvp.cli.keeping import keep_once
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore, write_model
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.sequences import Sequence

CONFIG = NetworkConfig(backbone="unet", in_channels=1, out_channels=1, widths=(8, 16), depths=(1, 1))


def card(version, name="probe"):
    return Card(
        name=name, version=version, task="stroke", title="Probe", sequences=(Sequence.DWI,), regions=("STROKE",),
        network=CONFIG, spacing=2.0, window=(32, 32, 32), created=date(2026, 1, 1),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path)


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return build_network(CONFIG).state_dict()


def test_a_version_comes_back_with_its_card_and_weights(store, weights):
    store.add(card(1), weights)
    model = store.resolve("probe@1")
    assert model.card == card(1) and model.card.id == "probe@1"
    for key, value in model.load_network().state_dict().items():
        assert torch.equal(value, weights[key])


def test_half_precision_weights_are_served_in_single(store, weights):
    store.add(card(1), {key: value.half() for key, value in weights.items()})
    assert all(
        value.dtype == torch.float32 for value in store.resolve("probe").load_network().state_dict().values()
    )


def test_a_version_is_never_overwritten(store, weights):
    store.add(card(1), weights)
    with pytest.raises(BrainMVPError, match=r"probe@1 exists.* use 2"):
        store.add(card(1), weights)


def test_a_finished_folder_is_taken_once_and_under_a_free_version(store, weights, tmp_path):
    store.add(card(1), weights)
    made = tmp_path / "run" / "probe"
    write_model(card(1).model_copy(update={"title": "Another"}), weights, made)
    for _ in range(2):
        kept = keep_once(made, "probe", store, lambda: store.take(made))
        assert kept.card.id == "probe@2"
    assert store.resolve("probe@2").card.title == "Another"
    assert store.versions("probe") == [1, 2]


def test_the_newest_encoder_answers_and_the_newest_segmentation_model_only_when_told(store, weights):
    for name in ("encoder", "tumour"):
        built_in = store.resolve(name)
        assert built_in.built_in
        kind = {"kind": built_in.card.kind, "task": built_in.card.task}
        added = card(store.next_version(name), name).model_copy(update=kind)
        store.add(added, weights)
        assert store.resolve(name).card == (added if name == "encoder" else built_in.card)


def test_an_own_version_that_is_not_served_stays_so_when_the_package_brings_one_of_its_number(
    store, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(modelstore, "_BUILT_IN", tmp_path / "package")
    write_model(card(1), weights, tmp_path / "package" / "probe" / "1")
    store.add(card(2), weights)
    write_model(card(2), weights, tmp_path / "package" / "probe" / "2")
    assert not store.resolve("probe@2").built_in
    assert store.resolve("probe").card.version == 1
    write_model(card(3), weights, tmp_path / "package" / "probe" / "3")
    assert store.resolve("probe").card.version == 3


def test_the_served_version_is_chosen_and_can_be_taken_back(store, weights):
    store.add(card(1), weights)
    store.add(card(2), weights)
    store.serve("probe", 2)
    assert store.resolve("probe").card.version == 2
    store.serve("probe", 1)
    assert store.resolve("probe").card.version == 1
    assert [model.card.id for model in store.models() if model.card.name == "probe"] == ["probe@1", "probe@2"]


def test_what_is_not_there_is_said_with_what_is(store, weights):
    store.add(card(1), weights)
    with pytest.raises(BrainMVPError, match=r"no model named 'other'.*probe"):
        store.resolve("other")
    with pytest.raises(BrainMVPError, match="no version 5; its versions are: 1"):
        store.resolve("probe@5")
    with pytest.raises(BrainMVPError, match="NAME@VERSION"):
        store.resolve("probe@latest")


def test_damaged_files_are_named(store, weights):
    model = store.add(card(1), weights)
    model.weights_path.write_bytes(model.weights_path.read_bytes()[:100])
    with pytest.raises(BrainMVPError, match=r"weights\.safetensors is damaged"):
        model.load_weights()
    for content in (b"{}", b"\xff\xfe", b"["):
        (model.folder / "card.json").write_bytes(content)
        with pytest.raises(BrainMVPError, match=r"card\.json is damaged"):
            store.resolve("probe@1")
    assert not [model for model in store.models() if model.card.name == "probe"]


@pytest.mark.parametrize("place", ["renamed/1", "probe/7"])
def test_a_version_in_a_folder_of_another_name_is_passed_over(store, weights, place):
    folder = store.add(card(1), weights).folder
    (store.root / place).parent.mkdir(exist_ok=True)
    folder.rename(store.root / place)
    assert not [model for model in store.models() if model.card.name == "probe"]
    with pytest.raises(BrainMVPError, match=r"card\.json is the card of probe@1"):
        store.resolve(place.replace("/", "@"))


def test_weights_of_another_network_are_refused(store, weights):
    weights.pop(next(iter(weights)))
    with pytest.raises(BrainMVPError, match="does not fit its card"):
        store.add(card(1), weights).load_network()


def test_a_damaged_pointer_says_how_to_mend_it(store, weights):
    store.add(card(1), weights)
    store.serve("probe", 1)
    pointer = store.root / "probe" / "served.json"
    pointer.write_text(json.dumps(["?"]))
    with pytest.raises(BrainMVPError, match="brainmvp models serve"):
        store.resolve("probe")


@pytest.mark.parametrize("name", ["..", "../models", "tumour\n", "a/b", ""])
def test_a_name_that_is_no_name_reaches_no_folder(tmp_path, name):
    store = ModelStore(tmp_path)
    store.root.mkdir()  # else ".." leads nowhere
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "card.json").write_text("{}")
    assert store.versions(name) == []
    with pytest.raises(BrainMVPError, match="is no name for a model"):
        check_name(name)
    with pytest.raises(BrainMVPError, match="There is no model named"):
        store.get(name, 7)


def test_a_full_disk_is_one_sentence_naming_the_folder(weights, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BrainMVPError, match="make room there") as refused:
            write_model(card(1), weights, tmp_path)
        with pytest.raises(BrainMVPError, match="could not be stored in") as not_stored:
            ModelStore(tmp_path / "store").add(card(1), weights)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path) in str(refused.value)
    assert str(tmp_path / "store") in str(not_stored.value) and ".writing-" not in str(not_stored.value)
    store = ModelStore(tmp_path / "store")
    assert store.versions("probe") == [] and not list((store.root / "probe").iterdir())
