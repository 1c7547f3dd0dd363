"""The built-in encoder is made again by one command, and what it leaves can be fine-tuned from."""

import pytest
import torch
from typer.testing import CliRunner

from brainmvp.card import Card
from brainmvp.cli import app
from brainmvp.finetune.start import begin
from brainmvp.modelstore import Model
from brainmvp.sequences import Sequence
from brainmvp.tasks import get_task
from pretraining import builtin


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setitem(builtin._CONFIG, "spacing", 4.0)
    monkeypatch.setattr(builtin, "_PATIENTS", {"tumour": 1, "stroke": 1})
    monkeypatch.setattr(builtin, "_EPOCHS", 1)


def test_a_cohort_is_made_learned_from_and_packed(small, tmp_path) -> None:
    made = builtin.train_encoder(tmp_path, device="cpu")
    model = Model(Card.model_validate_json((made / "card.json").read_text()), made)
    assert model.card.sequences == tuple(Sequence) and model.card.spacing == 4
    assert (made / "weights.safetensors").stat().st_size < 12e6  # half precision
    begun = begin(get_task("stroke"), model, get_task("stroke").recipe)
    taken = {name for name in begun.network.state_dict() if name.startswith("encoder.")}
    assert taken <= {*begun.matched, *begun.adapted}
    assert all(torch.isfinite(value).all() for value in begun.network.state_dict().values())
    before = (made / "weights.safetensors").read_bytes()
    assert not any("patients" in text for text in model.card.data)
    again = builtin.train_encoder(tmp_path, device="cpu")
    assert (again / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("option", [("--minutes", "1"), ("--network", "unet-compact")])
def test_what_is_fixed_is_refused(tmp_path, option) -> None:
    line = ["train-builtin", "--task", "encoder", "--out", str(tmp_path / "run"), *option]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 2 and "the encoder's network and length are fixed" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_without_patients_is_refused(tmp_path) -> None:
    (tmp_path / "t1.nii.gz").touch()
    line = ["train-builtin", "--task", "encoder", "--out", str(tmp_path / "run"), "--patients", str(tmp_path)]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 2 and "has no patients (NAME/NAME_t1.nii.gz" in done.stderr
    assert not (tmp_path / "run").exists()
