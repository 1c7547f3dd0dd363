"""Training on phantoms: what it may learn from, and that it goes on where it stopped."""

import json
import re
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore
from brainmvp.networks.config import PRESETS
from brainmvp.phantom.anatomy import load_anatomies
from brainmvp.sequences import Sequence
from brainmvp.steps import rate
from brainmvp.tasks import get_task
from brainmvp.training.augment import leave_out, moved, vary
from brainmvp.training.builtin import train_builtin
from brainmvp.training.checkpoints import load_run, read_weights, save_run
from brainmvp.training.export import (
    _tempered,
    best_thresholds,
    calibration_errors,
    made_of,
    mean_dice,
    weaknesses,
)
from brainmvp.training.learner import Learner
from brainmvp.training.loss import dice, region_targets, segmentation_loss
from brainmvp.training.optim import orthogonal
from brainmvp.training.samples import TRAINING_SEEDS, PhantomStream, SampleBatches, make_sample
from brainmvp.training.train import Recipe, _ByStep, train
from brainmvp.training.validation import ValidationSet

TUMOUR, STROKE = get_task("tumour"), get_task("stroke")
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def atlas():
    return load_anatomies(2.0)


def _batch(seed: int = 0, size: int = 16):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 4, size, size, size, generator=generator)
    labels = torch.randint(0, 4, (2, size, size, size), generator=generator)
    brain = torch.ones(2, 1, size, size, size, dtype=torch.bool)
    return images, region_targets(labels, TUMOUR), torch.ones(2, 3, dtype=torch.bool), brain


def test_a_sample_is_normalised_and_has_the_tasks_channels(atlas):
    images, labels = make_sample(0, STROKE, 0.0, atlas)
    assert images.shape == (3, 80, 96, 80) and labels.shape == (80, 96, 80)
    assert images.dtype == torch.float16 and labels.dtype == torch.uint8
    assert images.min() >= -1 and images.max() <= 4
    assert 0.4 < images[0][images[0] != 0].float().median() < 0.95


def test_regions_that_cannot_be_seen_do_not_teach():
    images = torch.ones(64, 4, 1, 1, 1)
    shown, seen = leave_out(images, TUMOUR, 0.0, torch.Generator().manual_seed(0))
    has_contrast = shown[:, TUMOUR.sequences.index(Sequence.T1CE), 0, 0, 0] > 0
    assert torch.equal(seen[:, 2], has_contrast) and torch.equal(seen[:, 1], has_contrast)
    assert seen[:, 0].all() and 0 < has_contrast.sum() < 64


@pytest.mark.parametrize("task", [TUMOUR, STROKE])
def test_every_set_of_sequences_is_one_the_task_accepts(task):
    images = torch.ones(200, len(task.sequences), 1, 1, 1)
    shown, _ = leave_out(images, task, 0.0, torch.Generator().manual_seed(1))
    for row in shown[:, :, 0, 0, 0]:
        kept = {sequence for sequence, value in zip(task.sequences, row, strict=True) if value}
        task.check_sequences(kept, "a sample")


def test_images_and_labels_move_together():
    labels = torch.zeros(1, 12, 12, 12, dtype=torch.uint8)
    labels[0, 5:8, 4:6, 6:9] = 1
    images = labels[:, None].float()
    images = images.repeat(1, len(TUMOUR.sequences), 1, 1, 1)
    for seed in range(5):
        moved, where = vary(images, labels, TUMOUR, torch.Generator().manual_seed(seed))
        assert torch.equal(moved[:, 0] != 0, where > 0)


def test_what_is_moved_out_does_not_come_in_on_the_other_side():
    labels = torch.zeros(8, 8, 8, dtype=torch.uint8)
    labels[:, :, 7] = labels[0] = 1
    shifted = moved(labels, [-2, 0, 3])
    assert shifted.shape == labels.shape and not shifted.any()
    back = moved(labels[None].float(), [3, 0, -2])[0]
    assert back[3].any() and back[:, :, 5].any() and not back[:3].any() and not back[:, :, 6:].any()


def test_adc_keeps_its_value_and_dwi_does_not():
    images = torch.ones(40, len(STROKE.sequences), 8, 8, 8)
    varied, _ = vary(images, torch.zeros(40, 8, 8, 8), STROKE, torch.Generator().manual_seed(2))
    change = {
        sequence: float((varied[:, index] - 1)[varied[:, index] != 0].abs().max())
        for index, sequence in enumerate(STROKE.sequences)
    }
    assert change[Sequence.ADC] < 0.08 < 0.2 < change[Sequence.DWI]


def test_the_loss_of_a_perfect_prediction_is_small_and_unseen_regions_do_not_count():
    _, targets, seen, brain = _batch()
    perfect = (targets.float() * 2 - 1) * 20
    assert segmentation_loss(perfect, targets, seen, brain) < 0.01
    wrong = perfect.clone()
    wrong[:, 2] *= -1
    assert segmentation_loss(wrong, targets, seen, brain) > 1
    seen[:, 2] = False
    assert segmentation_loss(wrong, targets, seen, brain) < 0.01


def test_dice_is_one_for_two_empty_masks_and_zero_for_disjoint_ones():
    empty, full = torch.zeros(1, 1, 4, 4, 4), torch.ones(1, 1, 4, 4, 4)
    assert dice(empty, empty) == 1 and dice(full, empty) == 0 and dice(full, full) == 1


@pytest.mark.parametrize("shape", [(3, 24, 60), (3, 60, 24)])
def test_muon_makes_singular_values_nearly_equal(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices).float())
    assert values.min() > 0.4 and values.max() < 1.5


def test_the_learning_rate_warms_up_and_falls_to_zero():
    assert rate(0.0, 0) < 0.05
    assert rate(0.0, 1000) == 1.0
    assert rate(1.0, 1000) == pytest.approx(0.0, abs=1e-9)
    assert rate(0.5, 1000, flat=0.7) == rate(0.7, 1000, flat=0.7) == 1.0
    assert rate(0.85, 1000, flat=0.7) == pytest.approx(0.5)


def test_a_little_marked_where_nothing_is_costs_less_than_much():
    targets, seen, brain = torch.zeros(1, 1, 24, 24, 24), torch.ones(1, 1), torch.ones(1, 1, 24, 24, 24)

    def cost(marked: int) -> float:
        logits = torch.full((1, 1, 24 * 24 * 24), -12.0)
        logits[..., :marked] = 12.0
        return float(segmentation_loss(logits.view_as(targets), targets, seen, brain, 125.0))

    assert 5 * cost(10) < cost(1000)


def test_from_the_full_difficulty_on_phantoms_are_of_every_one_evenly():
    difficulty = _ByStep(Recipe("tumour", "unet-light", steps=1000, batch=1, easy=0.0), first_step=100)
    drawn = sorted(difficulty(index) for index in range(100))
    assert max(abs(value - (number + 0.5) / 100) for number, value in enumerate(drawn)) < 0.02


def test_the_difficulty_stays_low_first_and_ends_full():
    recipe = Recipe("tumour", "unet-light", steps=100, easy=0.3)
    assert recipe.difficulty(recipe.progress(20)) == 0
    assert 0 < recipe.difficulty(recipe.progress(45)) < 1
    assert recipe.difficulty(recipe.progress(100)) == 1


def test_a_learner_learns():
    learner = Learner("unet-compact", TUMOUR, 2e-3, CPU, 0)
    images, _, seen, brain = _batch()
    targets = torch.stack([images[:, 0] > 0.5, images[:, 0] > 0.6, images[:, 0] > 0.7], 1)
    losses = []
    for _ in range(8):
        learner.step(images, targets, seen, brain, 1.0)
        losses.append(learner.mean_loss())
    assert losses[-1] < 0.8 * losses[0], losses


@pytest.mark.parametrize("preset", {sizes["backbone"]: name for name, sizes in PRESETS.items()}.values())
def test_a_learner_of_every_kind_of_network_predicts_with_its_averaged_weights(preset):
    learner = Learner(preset, STROKE, 2e-3, CPU, 0)
    images = torch.rand(1, 3, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same = learner.network.eval()(images).sigmoid()
        assert torch.allclose(learner.predict(images), same, atol=1e-5)
        for value in learner.average.values():
            value.zero_()
        assert torch.equal(learner.predict(images), torch.full_like(same, 0.5))


def test_a_restored_learner_takes_the_same_next_step(tmp_path):
    batch = _batch()
    first = Learner("unet-compact", TUMOUR, 2e-3, CPU, 0)
    for _ in range(2):
        first.step(*batch, 1.0)
    save_run(tmp_path, first, {"seconds": 2.0, "made": 4, "steps": 2})
    second = Learner("unet-compact", TUMOUR, 2e-3, CPU, 1)
    assert load_run(tmp_path, second, CPU) == {"seconds": 2.0, "made": 4, "steps": 2}
    for learner in (first, second):
        learner.step(*batch, 1.0)
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in ours)


def test_a_run_goes_on_from_the_averaged_weights_alone(tmp_path):
    first = Learner("unet-compact", TUMOUR, 2e-3, CPU, 0)
    first.step(*_batch(), 1.0)
    save_run(tmp_path, first, {"seconds": 9.0, "made": 2, "steps": 1})
    (tmp_path / "checkpoint.pt").unlink()
    second = Learner("unet-compact", TUMOUR, 2e-3, CPU, 1)
    assert load_run(tmp_path, second, CPU)["seconds"] == 9.0
    key = next(iter(first.average))
    assert torch.allclose(second.average[key], first.average[key], atol=1e-3)
    assert second.step_count == 1


@pytest.mark.parametrize("name", ["checkpoint.pt", "unet-compact.safetensors"])
@pytest.mark.parametrize("content", [b"nothing", b""])
def test_a_damaged_run_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrainMVPError, match="cannot go on"):
        load_run(tmp_path, Learner("unet-compact", TUMOUR, 2e-3, CPU, 0), CPU)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"anatomies": ("MNI152", "someone")}, "anatomies ['MNI152', 'someone'], not ['MNI152']"),
        ({"easy": 0.15, "complete": (0.7, 0.4)}, "easy 0.15, not 0.08; complete [0.7, 0.4], not [0.7, 0.35]"),
    ],
)
def test_a_run_on_other_brains_or_by_a_recipe_of_then_is_not_continued(tmp_path, other, told):
    recipe = Recipe("tumour", "unet-light", 9, 1, **{"anatomies": ("MNI152",), **other})
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(recipe)))
    with pytest.raises(BrainMVPError, match=re.escape(f"holds another run ({told}); give the same --task")):
        train_builtin("tumour", tmp_path, steps=1, device="cpu")


def test_a_run_starts_from_a_stored_model_and_refuses_another_network(
    tmp_path, atlas, tiny_models, monkeypatch
):
    monkeypatch.setenv("BRAINMVP_HOME", str(tiny_models))
    monkeypatch.setattr("brainmvp.phantom.grid.EXTENT_MM", (96.0, 96.0, 96.0))
    stored = ModelStore().resolve("stroke")
    recipe = Recipe("stroke", "unet-compact", steps=1, batch=1, lr=0.0, validation=1, start=stored.card.id)
    train(recipe, tmp_path / "same", atlas, CPU, workers=0)
    weights, _ = read_weights(tmp_path / "same" / "unet-compact.safetensors")
    assert torch.allclose(
        weights["decoder.head.bias"].float(), stored.load_weights()["decoder.head.bias"], atol=1e-3
    )
    with pytest.raises(BrainMVPError, match="another network than unet-light; add --network unet-compact"):
        train(replace(recipe, network="unet-light"), tmp_path / "other", atlas, CPU, workers=0)


def test_a_run_does_not_start_from_a_model_of_another_task(tmp_path):
    with pytest.raises(BrainMVPError, match="stroke@1 is a model for stroke, not for tumour"):
        train_builtin("tumour", tmp_path, start="stroke@1", steps=1, device="cpu")


def test_a_run_starts_from_a_pretrained_encoder(tmp_path, atlas, monkeypatch):
    monkeypatch.setattr("brainmvp.phantom.grid.EXTENT_MM", (96.0, 96.0, 96.0))
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    encoder = ModelStore().resolve("encoder@1")
    recipe = Recipe("stroke", "unet-light", steps=1, batch=1, lr=0.0, validation=1, start=encoder.card.id)
    train(recipe, tmp_path / "run", atlas, CPU, workers=0)
    weights, progress = read_weights(tmp_path / "run" / "unet-light.safetensors")
    pretrained = encoder.load_weights()
    shared = [name for name in weights if name.startswith("encoder.stages.1") and name.endswith("weight")]
    assert shared and progress["made"] == 1
    for name in shared:
        assert torch.allclose(weights[name].float(), pretrained[name], atol=1e-3), name


def test_a_sample_is_the_same_whoever_makes_it_and_however_early(atlas, monkeypatch):
    monkeypatch.setattr("brainmvp.phantom.grid.EXTENT_MM", (48.0, 48.0, 48.0))
    difficulty = _ByStep(Recipe("stroke", "unet-light", steps=8, batch=2, easy=0.25), first_step=2)
    assert [difficulty(index) for index in range(4)] == pytest.approx([0, 0, 0.354, 0.163], abs=1e-3)
    both = []
    for workers in (0, 1):
        batches = SampleBatches(PhantomStream(STROKE, atlas, difficulty, 3), 2, workers)
        both.append([next(batches) for _ in range(2)])
    assert all(
        torch.equal(a, b) for here, there in zip(*both, strict=True) for a, b in zip(here, there, strict=True)
    )


def test_a_run_learns_from_other_phantoms_than_its_parent_and_made_up_cohorts(tmp_path, monkeypatch):
    class BegunError(Exception):
        pass

    def stop(task, anatomies, difficulty, first_seed):
        raise BegunError(first_seed)

    learner = Learner("unet-compact", STROKE, 2e-3, CPU, 0)
    card = SimpleNamespace(kind="segmentation", network=learner.config, training={"made": 7})
    parent = SimpleNamespace(card=card, load_weights=learner.network.state_dict)
    monkeypatch.setattr("brainmvp.modelstore.ModelStore.resolve", lambda store, name: parent)
    monkeypatch.setattr("brainmvp.training.train.PhantomStream", stop)
    with pytest.raises(BegunError, match=str(TRAINING_SEEDS + 7)):
        train(Recipe("stroke", "unet-compact", steps=1, start="stroke@1"), tmp_path, [], CPU)


def test_thresholds_are_those_with_the_best_overlap():
    targets = torch.zeros(2, 3, 8, 8, 8, dtype=torch.bool)
    targets[:, :, :4] = True
    probabilities = torch.where(targets, 0.45, 0.32)
    thresholds = best_thresholds(TUMOUR, {"all": probabilities}, targets)
    assert thresholds["WT"] in (0.35, 0.4)
    assert mean_dice(TUMOUR, {"all": probabilities}, targets, thresholds)["all"]["WT"] == 1.0


def test_a_calibration_error_near_lesions_is_not_hidden_by_the_rest_of_the_brain():
    targets = torch.zeros(2, 3, 40, 16, 16, dtype=torch.bool)
    targets[0, :, :2] = True
    probabilities = torch.where(targets, 0.5, 0.0)
    phantoms = ValidationSet(TUMOUR, torch.ones(2, 4, 40, 16, 16), targets)
    errors = calibration_errors(TUMOUR, probabilities, phantoms)
    assert errors["brain"]["WT"] == pytest.approx(0.5 * 2 / 80)
    assert errors["within 10 mm of the lesion"]["WT"] == pytest.approx(0.5 * 2 / 7, abs=1e-5)


def test_what_a_network_marks_outside_the_brain_does_not_count():
    images = torch.zeros(2, 4, 16, 16, 16)
    images[:, :, :8] = 1
    targets = torch.zeros(2, 3, 16, 16, 16, dtype=torch.bool)
    targets[0, :, :8] = True
    phantoms = ValidationSet(TUMOUR, images, targets)
    everywhere = torch.full((2, 3, 16, 16, 16), 9.0)
    learner = SimpleNamespace(predict=lambda shown: everywhere.sigmoid())
    scores = phantoms.score(learner, CPU)
    assert scores["all WT"] == 1.0 and scores["all false ml"] == pytest.approx(0.008 * 8 * 16 * 16, abs=1e-3)
    tempered = _tempered(phantoms, {"all": everywhere}, {region.name: 1.0 for region in TUMOUR.regions})
    assert tempered["all"][:, :, 8:].max() == 0 and tempered["all"][:, :, :8].min() > 0.5


def test_thresholds_suit_studies_with_sequences_missing_too():
    targets = torch.zeros(1, 3, 8, 8, 8, dtype=torch.bool)
    targets[:, :, :4] = True
    sure, unsure = torch.where(targets, 0.9, 0.4), torch.where(targets, 0.48, 0.1)
    found = {"all": sure, "FLAIR": unsure}
    thresholds = best_thresholds(TUMOUR, found, targets)
    scores = mean_dice(TUMOUR, found, targets, thresholds)
    assert (thresholds["WT"], scores["all"]["WT"], scores["FLAIR"]["WT"]) == (0.4, 1.0, 1.0)
    assert "ET" not in scores["FLAIR"]


def test_a_card_warns_of_sets_of_sequences_with_which_cases_are_missed():
    targets = torch.zeros(4, 3, 8, 8, 8, dtype=torch.bool)
    targets[:3, :, :4] = True
    seen = targets.float()
    half_seen = seen.clone()
    half_seen[1:] = 0
    found = {"all": half_seen, "T1CE+FLAIR": seen, "FLAIR": half_seen}
    assert weaknesses(TUMOUR, found, targets, {"WT": 0.5, "TC": 0.5, "ET": 0.5}) == {
        "FLAIR": "with FLAIR alone the model missed 2 of 3 made-up cases of tumour altogether: nothing marked is no "
        "proof of absence"
    }


def test_a_card_cites_only_the_data_that_a_model_has_seen():
    assert len(made_of([])) == 2
    _, cited, _ = made_of(["patient19", "patient07"])
    assert "Lesjak" in cited and cited.endswith("CC BY 4.0: patient07, patient19")
    _, named, _ = made_of(["Miller", "Jones"])
    assert named == "Anatomy: patients Jones, Miller of the folder given with --patients"
    assert len(made_of(["Miller", "patient07"])) == 4


def test_a_run_that_stopped_goes_on_to_the_same_weights(tmp_path, atlas, monkeypatch):
    # A box of 48 voxels holds the middle of the brain, and is six times faster than all of it.
    monkeypatch.setattr("brainmvp.phantom.grid.EXTENT_MM", (96.0, 96.0, 96.0))
    recipe = Recipe("stroke", "unet-compact", steps=2, batch=1, validation=2)
    train(recipe, tmp_path, atlas, CPU, workers=0, stop_after=0.1)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["steps"] == 1
    train(recipe, tmp_path, atlas, CPU, workers=0)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["steps"] == lines[-1]["made"] == 2
    train(recipe, tmp_path / "unbroken", atlas, CPU, workers=0)
    both = [
        read_weights(folder / "unet-compact.safetensors")[0] for folder in (tmp_path, tmp_path / "unbroken")
    ]
    assert all(torch.equal(both[0][key], both[1][key]) for key in both[0])
