"""Fine-tuning: every recipe runs, a stopped run ends as one that was not, and bad input is one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled import SHAPE, make_case, make_cases

from brainmvp.errors import BrainMVPError
from brainmvp.finetune import Case, finetune
from brainmvp.finetune.folder import RunFolder
from brainmvp.finetune.loop import facts
from brainmvp.modelstore import ModelStore
from brainmvp.sequences import Sequence
from brainmvp.tasks import Recipe, downstream_names, get_task
from brainmvp.templates import export_templates
from brainmvp.volume import Volume, read_volume, write_volume

TINY = {
    "network": "uniformer-compact",
    "spacing": 4.0,
    "window": (16, 16, 16),
    "epochs": 2,
    "validate_every": 1,
}
STROKE = get_task("stroke")


def tiny(task, **changes):
    grid = {"grid": (24, 24, 16)} if task.kind == "classification" else {}
    return task.recipe.model_copy(update=TINY | grid | changes)


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    return make_cases(STROKE, 4, tmp_path_factory.mktemp("strokes"))


@pytest.mark.parametrize("name", downstream_names())
def test_every_recipe_runs_end_to_end(name, tmp_path):
    task = get_task(name)
    cases = make_cases(task, 4, tmp_path)
    seen = []
    result = finetune(
        task, cases[:2], cases[2:], None, tiny(task, epochs=1), tmp_path / "run", progress=seen.append
    )
    assert result.finished and len(result.history) == 1
    assert set(result.metrics) == ({"accuracy", "auc", "f1"} if task.classes else set(task.outputs))
    assert [(p.epoch, p.step, p.seconds_left) for p in seen] == [(1, 1, 0.0)]
    assert {"curves.png", "examples.png", "history.json"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    model = result.store(ModelStore(tmp_path / "home"))
    assert model.card.id == f"{name}@1" and model.card.regions == task.outputs
    assert model.load_network().training is False


def test_a_classification_is_used_with_the_window_that_it_has_learned_with(tmp_path):
    task = get_task("adni")
    cases = make_cases(task, 2, tmp_path)
    recipe = tiny(task, network="unet-compact", epochs=1, window=(32, 32, 32))
    result = finetune(task, cases[:1], cases[1:], None, recipe, tmp_path / "run")
    assert recipe.grid == (24, 24, 16) and result.card.window == (24, 24, 16)


def test_a_stopped_run_goes_on_to_the_same_weights(strokes, tmp_path):
    recipe = tiny(STROKE, batch=1, pair_weight=0.1)
    whole = finetune(STROKE, strokes[:2], strokes[2:], None, recipe, tmp_path / "whole")
    calls = iter([False, True, True] + 9 * [False])
    stopped = [
        finetune(
            STROKE,
            strokes[:2],
            strokes[2:],
            None,
            recipe,
            tmp_path / "parts",
            should_stop=lambda: next(calls),
        )
        for _ in range(3)
    ]
    assert [part.finished for part in stopped] == [False, False, True]
    assert all(torch.equal(stopped[-1].weights[key], value) for key, value in whole.weights.items())
    timeless = [
        [{k: v for k, v in r.items() if k != "seconds"} for r in x.history] for x in (whole, stopped[-1])
    ]
    assert timeless[0] == timeless[1]


def test_it_learns(strokes, tmp_path):
    recipe = tiny(STROKE, network="unet-compact", epochs=20, lr=5e-3, validate_every=20, mixed=0, batch=1)
    result = finetune(STROKE, strokes[:1], strokes[3:], None, recipe, tmp_path / "run")
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]


def test_it_ends_early_when_nothing_gets_better(strokes, tmp_path):
    recipe = tiny(STROKE, epochs=50, lr=1e-12, patience=2)
    result = finetune(STROKE, strokes[:1], strokes[2:], None, recipe, tmp_path / "run")
    assert result.finished and len(result.history) == 3
    assert result.card.training["best_epoch"] == 1


def test_a_model_goes_on_from_its_parent_and_says_so(strokes, tmp_path, tiny_models):
    start = ModelStore(tiny_models).resolve("stroke")
    start = replace(start, card=start.card.model_copy(update={"weak_with": {"DWI": "it misses some"}}))
    recipe = STROKE.recipe.model_copy(update={"epochs": 1, "lr": 1e-9})
    result = finetune(STROKE, strokes[:2], strokes[2:], start, recipe, tmp_path / "run")
    assert result.card.parent == start.card.id and result.card.network == start.card.network
    assert result.card.training["start"].endswith("decoder kept, head kept")
    assert result.card.weak_with == start.card.weak_with
    before = start.load_weights()
    assert all(torch.allclose(result.weights[key], before[key], atol=1e-5) for key in before)


def test_templates_take_the_place_of_channels_scaled_or_raw(strokes, tmp_path):
    from brainmvp.finetune.prepared import Preparation, read_templates, scaled_templates

    ramp = torch.linspace(-2, 5, 40)[None, :, None, None].expand(8, 40, 48, 40)
    export_templates(ramp, tmp_path / "encoder" / "templates")
    templates = read_templates(tmp_path / "encoder", STROKE.sequences)
    assert read_templates(tmp_path, STROKE.sequences) is None
    for given, high in ((scaled_templates(templates), 1.0), (templates, 5.0)):
        case = Preparation(STROKE, 4.0, templates=given).one(strokes[0], tmp_path)
        assert case.fill.shape == case.images.shape
        assert 0.6 * high < np.max(case.fill) <= high


def test_the_run_folder_of_another_run_is_left_alone(strokes, tmp_path):
    finetune(STROKE, strokes[:1], strokes[2:], None, tiny(STROKE, epochs=1), tmp_path)
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(BrainMVPError, match=r"another run \(its recipe differs\); choose an empty folder"):
        finetune(STROKE, strokes[:1], strokes[2:], None, tiny(STROKE, epochs=2), tmp_path)
    assert (tmp_path / "run.json").read_text() == before
    known = json.loads(before)
    (tmp_path / "run.json").write_text(json.dumps(known | {"processes": 2}))
    with pytest.raises(BrainMVPError, match="holds a run of 2 processes, one per device, not of 1"):
        finetune(STROKE, strokes[:1], strokes[2:], None, tiny(STROKE, epochs=1), tmp_path)
    (tmp_path / "run.json").write_text(before)
    (tmp_path / "checkpoint.pt").write_bytes(b"half a fi")
    with pytest.raises(BrainMVPError, match="is damaged; delete it"):
        finetune(STROKE, strokes[:1], strokes[2:], None, tiny(STROKE, epochs=1), tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    again = tiny(STROKE, epochs=1, network="unet-compact")
    with pytest.raises(BrainMVPError, match="another run"):  # whose best weights are worth something
        finetune(STROKE, strokes[:1], strokes[2:], None, again, tmp_path)
    (tmp_path / "best.safetensors").unlink()  # as a run that never kept a state: it can be set up anew
    stopped = finetune(STROKE, strokes[:1], strokes[2:], None, again, tmp_path, should_stop=lambda: True)
    assert not stopped.finished and stopped.card.network.backbone == "unet"


def test_a_run_goes_on_only_with_the_labels_that_it_began_with(tmp_path):
    cases, recipe = make_cases(STROKE, 2, tmp_path), tiny(STROKE, epochs=1, network="unet-compact")
    finetune(STROKE, cases[:1], cases[1:], None, recipe, tmp_path / "run")
    label = read_volume(cases[0].label)
    label.data[:2] = 1
    write_volume(label, cases[0].label)
    with pytest.raises(BrainMVPError, match="run of before a label or class was changed; choose an empty"):
        finetune(STROKE, cases[:1], cases[1:], None, recipe, tmp_path / "run")
    known = json.loads((tmp_path / "run" / "run.json").read_text())
    del known["labels"]  # as an older version left it
    (tmp_path / "run" / "run.json").write_text(json.dumps(known))
    assert finetune(STROKE, cases[:1], cases[1:], None, recipe, tmp_path / "run").finished


def test_a_run_goes_on_only_with_the_task_that_it_began_with(tmp_path):
    task = get_task("brats-2018-grade")
    cases, recipe = make_cases(task, 2, tmp_path), tiny(task, epochs=1, network="unet-compact")
    finetune(task, cases[:1], cases[1:], None, recipe, tmp_path / "run")
    turned = task.model_copy(update={"classes": task.classes[::-1]})
    with pytest.raises(BrainMVPError, match="run of before the brats-2018-grade task was changed: its seq"):
        finetune(turned, cases[:1], cases[1:], None, recipe, tmp_path / "run")
    tumour = get_task("brats-ped-2023")
    smaller = tumour.regions[1].model_copy(update={"labels": tumour.regions[2].labels})
    changes = ({"regions": (*tumour.regions[:1], smaller, *tumour.regions[2:])}, {"read_as": {4: 1}})
    told = [facts(tumour.model_copy(update=c), cases[:1], cases[1:], None, recipe, False) for c in changes]
    same = facts(tumour, cases[:1], cases[1:], None, recipe, False)
    assert json.loads(json.dumps(same)) == same and same not in told and told[0] != told[1]


def test_a_prepared_case_is_found_again_until_its_files_change(tmp_path):
    from brainmvp.finetune.prepared import Preparation

    preparation = Preparation(STROKE, 4.0)
    case = make_case(STROKE, "changing", tmp_path, 5)
    first = preparation.one(case, tmp_path / "kept")
    count = len(list((tmp_path / "kept").iterdir()))
    again = preparation.one(case, tmp_path / "kept")
    assert np.array_equal(first.images, again.images) and len(list((tmp_path / "kept").iterdir())) == count
    write_volume(Volume(np.zeros(SHAPE, np.uint8), read_volume(case.label).affine), case.label)
    assert np.any(first.labels) and not np.any(preparation.one(case, tmp_path / "kept").labels)


def test_a_case_that_is_dicom_is_prepared_like_a_file(tmp_path):
    from dicom_files import DWI, right_handed, write_series
    from pydicom.uid import generate_uid

    from brainmvp.finetune.prepared import Preparation
    from brainmvp.study import Study

    case = make_case(STROKE, "filed", tmp_path)
    image = right_handed(read_volume(case.study.images[Sequence.DWI]))
    files = write_series(tmp_path / "dicom", image, generate_uid(), **DWI)
    label = read_volume(case.label)
    same = write_volume(right_handed(label), tmp_path / "label.nii.gz")
    preparation = Preparation(STROKE, 4.0)
    dicom = Case(Study.from_folder(tmp_path / "dicom"), same)
    found = preparation.one(dicom, tmp_path / "kept")
    only = preparation.one(Case(case.study.only((Sequence.DWI,)), case.label), tmp_path / "kept")
    assert np.array_equal(found.images, only.images) and np.array_equal(found.labels, only.labels)
    count = len(list((tmp_path / "kept").iterdir()))
    files[0].touch()
    preparation.one(dicom, tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) > count


def _unknown_value(case):
    label = read_volume(case.label)
    write_volume(Volume(label.data * 7, label.affine), case.label)


def _other_grid(case):
    label = read_volume(case.label)
    between = label.affine.copy()
    between[:3, 3] += label.affine[:3, :3] @ [0.5, 0.5, 0.5]
    write_volume(Volume(label.data, between), case.label)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_unknown_value, "seg.nii.gz holds the value 7, which the stroke task does not know"),
        (_other_grid, "lies on the grid of none of spoilt's sequences"),
        (lambda case: case.label.unlink(), "spoilt cannot be read"),
        (lambda case: case.study.images[Sequence.DWI].write_bytes(b"no"), "dwi.nii.gz cannot be read"),
    ],
)
def test_a_bad_case_is_named_in_one_sentence(strokes, tmp_path, spoil, sentence):
    case = make_case(STROKE, "spoilt", tmp_path)
    spoil(case)
    with pytest.raises(BrainMVPError, match=sentence) as caught:
        finetune(STROKE, [case], strokes[:1], None, tiny(STROKE), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_cases_without_label_class_or_patient_of_their_own_are_refused(strokes, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(BrainMVPError, match="has no label map; label it"):
        finetune(STROKE, [Case(strokes[0].study)], strokes[1:], None, tiny(STROKE), run)
    with pytest.raises(BrainMVPError, match="no labelled study to choose the best weights by"):
        finetune(STROKE, strokes, [], None, tiny(STROKE), run)
    with pytest.raises(BrainMVPError, match="stroke-1 is in training and in validation"):
        finetune(STROKE, strokes[:2], strokes[1:], None, tiny(STROKE), run)
    grade = get_task("brats-2018-grade")
    case = make_case(grade, "glioma", tmp_path)
    for target, sentence in ((None, "has no class"), ("WHO4", "is of class 'WHO4'; .* knows LGG, HGG")):
        spoilt = Case(case.study, target=target, patient="other")
        with pytest.raises(BrainMVPError, match=sentence):
            finetune(grade, [spoilt], [case], None, tiny(grade), tmp_path / f"{target}")


def test_a_loss_that_is_no_number_ends_the_run_with_advice(strokes, tmp_path):
    recipe = tiny(STROKE, lr=1e30, epochs=4, network="unet-compact")
    with pytest.raises(BrainMVPError, match="lower the learning rate"):
        finetune(STROKE, strokes[:2], strokes[2:], None, recipe, tmp_path)


def test_recipes_travel_as_json():
    recipe = get_task("brats-ped-2023").recipe.model_copy(update={"published": frozenset({"pairs"})})
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


def test_a_run_that_noted_the_codes_of_its_labels_goes_on(tmp_path):
    meaning = get_task("tumour").meaning
    noted = {"task": "tumour", "processes": 1, "meaning": meaning, "network": {}, "grid": {}, "labels": ""}
    run = RunFolder(tmp_path)
    run.open(noted)
    run.save_best({})
    coded = json.loads((tmp_path / "run.json").read_text())
    for entry in (*coded["meaning"]["labels"], *coded["meaning"]["regions"]):
        entry["code"] = {"scheme": "SCT", "value": "1", "meaning": "Another"}  # as an older version left it
    (tmp_path / "run.json").write_text(json.dumps(coded))
    run.open(noted)
