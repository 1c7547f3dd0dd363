"""The encoder that comes with the package, from nothing: a made-up cohort, its pretraining, half precision."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from brainmvp.card import Card
from brainmvp.cohort.scan import index_folder
from brainmvp.cohort.tables import hold_out
from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically
from brainmvp.modelstore import Model, write_model
from brainmvp.phantom.write import make_study
from brainmvp.sequences import Sequence
from brainmvp.training.export import made_of

from .data.cache import Cache
from .data.prepare import prepare_cohort
from .run.config import named_config
from .run.devices import make_fabric
from .run.folder import RunFolder
from .run.log import Report
from .run.loop import pretrain

# Made-up patients by task, with all eight sequences, and the seed of the first; no other model saw them.
_PATIENTS = {"tumour": 72, "stroke": 38}
_FIRST_SEED = 500_000
_MADE_UP = re.compile(rf"({'|'.join(_PATIENTS)})-\d{{6}}$")
_DIFFICULTY = 0.5
_HELD_OUT = 0.1
_IMAGES = "*/*.nii.gz"
# Two sequences of two patients per step, at 13 cm of edge: what one CPU core does in three seconds.
_CONFIG = {"spacing": 2.0, "patch": (64, 64, 64), "series": 2, "batch": 2, "learning_rate": 7e-4}
_EPOCHS = 4


def train_encoder(
    out: Path, *, patients: Path | None = None, device: str = "auto", report: Report | None = None
) -> Path | None:
    """Pretrain the built-in encoder, or go on from what `out` holds; return its folder, or None if it was stopped.

    patients: real studies to learn from besides the made-up ones (copied into `out`).
    Raises `BrainMVPError` if a study cannot be used, or the folder of patients holds none.
    """
    if patients is not None and not any(patients.glob(_IMAGES)):
        raise BrainMVPError(f"{patients} has no patients (NAME/NAME_t1.nii.gz and so on); check the folder.")
    cohort, run = out / "cohort", out / "run"
    _make_cohort(cohort, patients)
    index = hold_out(index_folder(cohort)[0], _HELD_OUT, 0.0, 0)
    index_path, cache = index.write(out / "index.json"), Cache(out / "index.cache", _CONFIG["spacing"])
    for problem in prepare_cohort(index, cache):
        raise BrainMVPError(problem)
    config = None if RunFolder(run).begun else named_config("paper", "unet-light", _EPOCHS, **_CONFIG)
    # On these patches a CPU's bfloat16 is twice as fast as single precision, and its gradients are right.
    fabric = make_fabric(device, 1, precision="bf16-mixed")
    exported = pretrain(
        index_path, run, config, fabric, cache=cache.folder, workers=0, save_every=50, report=report
    )
    names = {session.subject for session in index.sessions if not _MADE_UP.match(session.subject)}
    return exported and _pack(exported, out / "model", names)


def _make_cohort(folder: Path, patients: Path | None) -> None:
    for task, count in _PATIENTS.items():
        for seed in range(_FIRST_SEED, _FIRST_SEED + count):
            study = folder / f"{task}-{seed}"
            if not (study / f"{study.name}_seg.nii.gz").is_file():  # the label is written last
                make_study(
                    study, seed, task, sequences=tuple(Sequence), difficulty=_DIFFICULTY, spacing=_CONFIG["spacing"]
                )  # fmt: skip
    for image in () if patients is None else patients.glob(_IMAGES):
        copy = folder / image.parent.name / image.name
        if not copy.is_file():
            atomically(copy, lambda temporary, image=image: shutil.copyfile(image, temporary))


def _pack(exported: Path, target: Path, patients: set[str]) -> Path:
    """Write an exported run as the package ships it: weights in half precision, and no templates.

    After so short a training templates are noise still; where there are none, fine-tuning shows zeros instead.
    """
    card = Card.model_validate_json((exported / "card.json").read_text("utf-8"))
    card = card.model_copy(
        update={
            "title": "Demonstration encoder, pretrained on synthetic brains",
            "data": made_of(patients),
        }
    )
    shutil.rmtree(target, ignore_errors=True)
    weights = Model(card, exported).load_weights()
    write_model(card, {name: value.half() for name, value in weights.items()}, target)
    return target
