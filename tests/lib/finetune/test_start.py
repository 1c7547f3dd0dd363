"""What is kept of the weights that a fine-tuning starts from, and what learns how fast."""

from datetime import date

import pytest
import torch

from brainmvp.card import Card
from brainmvp.cli.asked import for_start
from brainmvp.errors import BrainMVPError
from brainmvp.finetune.optim import make_optimiser, set_rate
from brainmvp.finetune.start import begin
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.networks.config import PRESETS
from brainmvp.networks.heads import FIRST_LOGIT, heads_of
from brainmvp.sequences import Sequence
from brainmvp.tasks import Recipe, get_task

STEM = "encoder.stages.0.embed.proj.weight"
PED, ISLES = get_task("brats-ped-2023"), get_task("isles-2022")


@pytest.fixture
def encoder(tmp_path):
    return stored_encoder("uniformer-compact", tmp_path)


def stored_encoder(network, folder, sequences=tuple(Sequence)):
    """Store an encoder of one channel that has seen some sequences, as the pretraining and the importer do."""
    config = NetworkConfig.preset(network, 1, 1)
    card = Card(
        name="probe", version=1, kind="encoder", title="", sequences=sequences, network=config, spacing=1.0,
        window=(96, 96, 96), created=date(2026, 1, 1),
    )  # fmt: skip
    weights = {k: v for k, v in build_network(config).state_dict().items() if k.startswith("encoder.")}
    return ModelStore(folder).add(card, weights)


@pytest.mark.parametrize("name", ["brats-ped-2023", "vs-seg", "adni"])
def test_the_encoder_is_kept_and_its_first_convolution_shared_out(encoder, name):
    task = get_task(name)
    begun = begin(task, encoder, task.recipe)
    state, old = begun.network.state_dict(), encoder.load_weights()
    image = torch.rand(1, 1, 16, 16, 16)
    wide = torch.nn.functional.conv3d(
        image.expand(-1, len(task.sequences), -1, -1, -1), state[STEM], stride=2
    )
    assert torch.allclose(wide, torch.nn.functional.conv3d(image, old[STEM], stride=2), atol=1e-5)
    assert all(torch.equal(state[key], value) for key, value in old.items() if key != STEM)
    assert not any(name.startswith("encoder.") for name in begun.initialised)


@pytest.mark.parametrize(
    ("network", "seen"),
    [
        ("uniformer-compact", tuple(Sequence)),
        ("unet-compact", tuple(Sequence)),
        ("unet-light", tuple(Sequence)),
        ("unet-light", (Sequence.T1,)),
    ],
)
def test_a_pretrained_encoder_sees_equal_channels_as_it_saw_one(network, seen, tmp_path):
    encoder = stored_encoder(network, tmp_path, seen)
    before = build_network(encoder.card.network).eval()
    before.load_state_dict(encoder.load_weights(), strict=False)
    begun = begin(PED, encoder, PED.recipe).network.eval()
    image = torch.rand(1, 1, 32, 32, 32)
    with torch.inference_mode():
        four = begun.encoder(image.expand(-1, len(PED.sequences), -1, -1, -1))
        for ours, one in zip(four, before.encoder(image), strict=True):
            torch.testing.assert_close(ours, one, rtol=1e-4, atol=1e-5)


def test_the_published_code_throws_the_first_convolution_away(encoder):
    recipe = Recipe(published=frozenset({"stem"}))
    assert STEM in begin(PED, encoder, recipe).initialised
    assert STEM not in begin(PED, encoder, Recipe()).initialised


def test_sequences_and_regions_keep_their_own_weights_by_name(tiny_models):
    store = ModelStore(tiny_models)
    tumour = store.resolve("tumour")
    begun = begin(PED, tumour, PED.recipe)
    assert begun.adapted == [] and begun.initialised == []
    begun = begin(ISLES, tumour, ISLES.recipe)
    new, old = (
        begun.network.state_dict()["encoder.downs.0.weight"],
        tumour.load_weights()["encoder.downs.0.weight"],
    )
    assert torch.equal(new[:, 2], old[:, 3])  # FLAIR
    assert torch.allclose(new[:, 0], old.sum(1) / 3)  # DWI, unknown to the tumour model
    assert begun.initialised == ["decoder.head.weight", "decoder.head.bias"]
    assert str(begun) == "encoder kept, first convolution adapted, decoder kept, head new"
    assert begun.spacing == tumour.card.spacing and begun.thresholds == {}


@pytest.mark.parametrize("preset", PRESETS)
def test_sequences_and_regions_in_another_order_change_nothing_but_the_order(preset, tmp_path):
    task = get_task("tumour")
    config = NetworkConfig.preset(preset, len(task.sequences), len(task.regions))
    card = Card(
        name="probe", version=1, task="tumour", title="", sequences=task.sequences, regions=task.outputs,
        network=config, spacing=2.0, window=(64, 64, 64), created=date(2026, 1, 1),
    )  # fmt: skip
    torch.manual_seed(0)
    start = ModelStore(tmp_path).add(card, build_network(config).state_dict())
    turned = task.model_copy(
        update={"name": "mine", "sequences": task.sequences[::-1], "regions": task.regions[::-1]}
    )
    before, begun = start.load_network().eval(), begin(turned, start, Recipe(as_start=True))
    assert begun.initialised == []
    image = torch.rand(1, len(task.sequences), 32, 32, 32)
    with torch.inference_mode():
        old, new = before(image), begun.network.eval()(image.flip(1))
    pairs = zip(old, new, strict=True) if isinstance(old, list) else [(old, new)]
    for ours, theirs in pairs:
        torch.testing.assert_close(theirs.flip(1), ours, rtol=1e-3, atol=1e-3)


def test_spacing_and_window_are_those_of_the_start_unless_the_recipe_has_its_own(encoder):
    asked = PED.recipe.model_copy(update={"spacing": 4.0, "window": (32, 32, 32)})
    assert (begin(PED, encoder, asked).spacing, begin(PED, encoder, asked).window) == (1.0, (96, 96, 96))
    own = begin(PED, encoder, asked.model_copy(update={"as_start": False}))
    assert (own.spacing, own.window) == (4.0, (32, 32, 32))


def test_a_classification_keeps_its_window_where_only_a_spacing_is_asked_for(encoder):
    assert for_start(get_task("adni"), {"spacing": 2.0}, encoder.card).window == (96, 96, 64)
    assert for_start(PED, {"spacing": 2.0}, encoder.card).window == encoder.card.window


def test_an_encoder_with_a_part_missing_is_refused(encoder, tmp_path):
    weights = encoder.load_weights()
    weights.pop("encoder.stages.1.embed.proj.weight")
    card = encoder.card.model_copy(update={"version": 2})
    with pytest.raises(BrainMVPError, match=r"probe@2 has not the whole encoder \(encoder.stages.1.embed"):
        begin(PED, ModelStore(tmp_path).add(card, weights), Recipe())


def test_an_unknown_network_lists_the_known_ones():
    with pytest.raises(BrainMVPError, match="no network 'resnet'; use uniformer, unet"):
        begin(PED, None, Recipe(network="resnet"))


def test_deeper_levels_learn_slower_and_a_frozen_encoder_not_at_all():
    network = build_network(NetworkConfig.preset("uniformer-compact", 4, 3))
    optimiser = make_optimiser(network, Recipe(lr=1.0, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    assert rates[id(network.head.weight)] == 1.0
    assert rates[id(network.encoder.stages[3].embed.proj.weight)] == 0.5
    assert rates[id(network.encoder.stages[0].embed.proj.weight)] == 0.5**4
    assert set_rate(optimiser, 500, 1000) == pytest.approx(0.5)
    assert [set_rate(optimiser, done, 1000) for done in (0, 59)] == pytest.approx([1 / 60, 1], rel=0.01)
    assert set_rate(optimiser, 0, 1000, warm_up=False) == 1.0
    assert [set_rate(optimiser, 0, total) for total in (1, 20)] == pytest.approx([1, 1 / 2])
    frozen = make_optimiser(network, Recipe(frozen_encoder=True))
    learning = {id(p) for group in frozen.param_groups for p in group["params"]}
    assert not any(id(p) in learning for p in network.encoder.parameters())


def test_a_new_head_begins_with_nothing_to_be_seen_and_as_published_with_one_half(encoder):
    for network in ("uniformer-compact", "unet-light", "segresnet", "dynunet"):
        image = torch.rand(1, len(PED.sequences), 32, 32, 32)
        begun = begin(PED, None, Recipe(network=network)).network.eval()
        assert float(begun(image).detach().sigmoid().mean()) < 0.2
    for recipe, bias in ((Recipe(), FIRST_LOGIT), (Recipe(published=frozenset({"head"})), 0.0)):
        assert all(bool((head.bias == bias).all()) for head in heads_of(begin(PED, encoder, recipe).network))


def test_a_head_that_is_kept_keeps_its_bias(tiny_models):
    tumour = ModelStore(tiny_models).resolve("tumour")
    begun = begin(PED, tumour, Recipe(published=frozenset({"head"})))
    assert torch.equal(begun.network.head.bias, tumour.load_network().head.bias)
