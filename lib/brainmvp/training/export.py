"""From a finished run to a model with its card.

The model store and its image libraries are imported when a model is written: a machine that only trains needs
nothing but torch, numpy, pydantic and safetensors.
"""

import json
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from brainmvp.calibration import best_threshold, fit_temperature, temper
from brainmvp.card import Card
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.phantom.anatomy import Anatomy
from brainmvp.phantom.grid import BrainGrid
from brainmvp.tasks import Task, get_task
from brainmvp.training.checkpoints import read_weights
from brainmvp.training.loss import dice
from brainmvp.training.validation import SEQUENCE_SETS, ValidationSet

# Below this a finding is more often noise than disease, mL.
_SMALLEST_ML = {"tumour": 0.2, "stroke": 0.03}
_CALIBRATION_PHANTOMS = 32
# Whole heads of up to 32 cm at 2 mm in one window: neighbours' windows would only cost time.
_WINDOW = (160, 160, 160)

# What made-up brains are made of, for the cards of models that learned from them.
DATA = {
    "MNI152": "Anatomy: ICBM 2009a symmetric tissue maps (Fonov et al., NeuroImage 2011), as nilearn carries them",
    "patients": "Anatomy: multiple-sclerosis patients of Lesjak et al., Neuroinformatics 2018, CC BY 4.0",
    "lesions": "Lesions: synthetic, made by brainmvp.phantom; no patient's tumour or stroke was used",
}
_KNOWN_FAILURES = {
    "tumour": (
        "Never trained on a real tumour: check every outline.",
        "Non-enhancing core and oedema are hard to tell apart.",
        "White-matter lesions of other diseases may be marked as oedema.",
        "Resection cavities, haemorrhages and tumours outside the brain are unknown to it.",
    ),
    "stroke": (
        "Never trained on a real stroke: check every outline.",
        "Specks below about 4 mm, and infarcts whose ADC is normal again, may be missed.",
        "Bright artefacts of echo-planar imaging near the skull base may be marked.",
    ),
}


def export_model(
    task_name: str,
    preset: str,
    run: Path,
    folder: Path,
    anatomies: list[Anatomy],
    *,
    version: int = 1,
    metrics: dict[str, object] | None = None,
) -> Path:
    """Write the averaged weights of a run as FOLDER/TASK/VERSION/{weights.safetensors, card.json}; return that folder.

    run: holds PRESET.safetensors, recipe.json and log.jsonl. Temperatures and thresholds are those that fit
    held-out phantoms of `anatomies` best; metrics: more to write into the card, such as results on real scans.
    """
    from brainmvp.modelstore import write_model

    task = get_task(task_name)
    config = NetworkConfig.preset(preset, len(task.sequences), len(task.regions))
    weights, progress = read_weights(run / f"{preset}.safetensors")
    network = build_network(config)
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    validation = ValidationSet.of(task, anatomies, _CALIBRATION_PHANTOMS)
    sets = SEQUENCE_SETS[task.name]
    logits = {name: _logits(network.eval(), validation.showing(kept)) for name, kept in sets.items()}
    temperatures = _temperatures(task, logits["all"], validation)
    scale = torch.tensor([temperatures[region.name] for region in task.regions])
    probabilities = {
        name: temper(found.float().movedim(1, 0), scale).movedim(0, 1) for name, found in logits.items()
    }
    thresholds, scores = best_thresholds(task, probabilities, validation.targets)

    patients = sorted(
        {anatomy.name.removesuffix("-healed") for anatomy in anatomies if not anatomy.is_average}
    )
    data = [
        DATA["MNI152"],
        *([f"{DATA['patients']}: {', '.join(patients)}"] if patients else []),
        DATA["lesions"],
    ]
    recipe = json.loads((run / "recipe.json").read_text("utf-8"))
    card = Card(
        name=task.name, version=version, task=task.name, title=f"{task.title}, learned from synthetic brains",
        sequences=task.sequences, regions=tuple(region.name for region in task.regions), network=config,
        spacing=BrainGrid().spacing, window=_WINDOW, temperatures=temperatures, thresholds=thresholds,
        minimum_lesion_ml=_SMALLEST_ML[task.name], created=date.today(), data=tuple(data),
        known_failures=_KNOWN_FAILURES[task.name],
        parent=recipe.get("start"), training={"recipe": recipe, **progress},
        metrics={"dice on held-out phantoms": scores, **(metrics or {})},
    )  # fmt: skip
    target = folder / task.name / str(version)
    target.mkdir(parents=True, exist_ok=True)
    write_model(card, weights, target)
    return target


@torch.inference_mode()
def _logits(network: torch.nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(image[None].float()).half() for image in images])


def _temperatures(task: Task, logits: Tensor, validation: ValidationSet) -> dict[str, float]:
    """Return by region the temperature that fits the voxels of the brains best."""
    brain = (validation.images != 0).any(1)
    return {
        region.name: fit_temperature(logits[:, index][brain], validation.targets[:, index][brain])
        for index, region in enumerate(task.regions)
    }


def best_thresholds(
    task: Task, probabilities: dict[str, Tensor], targets: Tensor
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return by region the threshold with the best mean Dice over all sets of sequences, and by set its Dice in each.

    A model is asked with sequences missing, too, and is then less sure of what it sees. probabilities: (N, R, X, Y, Z)
    by name of `SEQUENCE_SETS`; targets: (N, R, X, Y, Z); cases without a region do not count for it.
    """
    thresholds: dict[str, float] = {}
    scores: dict[str, dict[str, float]] = {name: {} for name in probabilities}
    for index, region in enumerate(task.regions):
        present = targets[:, index].flatten(1).any(1)
        truths = targets[present, index : index + 1]
        found = {
            name: of_set[present, index : index + 1]
            for name, of_set in probabilities.items()
            if region in task.offered(set(SEQUENCE_SETS[task.name][name]))[0]
        }
        together = [case for cases in found.values() for case in cases]
        thresholds[region.name], _ = best_threshold(together, list(truths) * len(found))
        for name, cases in found.items():
            scores[name][region.name] = round(float(dice(cases, truths, thresholds[region.name]).mean()), 4)
    return thresholds, scores
