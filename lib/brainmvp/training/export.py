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
from brainmvp.training.validation import ValidationSet

# Below this a finding is more often noise than disease, mL.
_SMALLEST_ML = {"tumour": 0.2, "stroke": 0.03}
_CALIBRATION_PHANTOMS = 32
# Whole heads of up to 32 cm at 2 mm in one window: neighbours' windows would only cost time.
_WINDOW = (160, 160, 160)

_DATA = {
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
    logits = _logits(network.eval(), validation)
    temperatures = _temperatures(task, logits, validation)
    scale = torch.tensor([temperatures[region.name] for region in task.regions])
    probabilities = temper(logits.float().movedim(1, 0), scale).movedim(0, 1)
    thresholds, scores = best_thresholds(task, probabilities, validation.targets)

    patients = sorted(
        {anatomy.name.removesuffix("-healed") for anatomy in anatomies if not anatomy.is_average}
    )
    data = [
        _DATA["MNI152"],
        *([f"{_DATA['patients']}: {', '.join(patients)}"] if patients else []),
        _DATA["lesions"],
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
def _logits(network: torch.nn.Module, validation: ValidationSet) -> Tensor:
    return torch.cat([network(image[None].float()).half() for image in validation.images])


def _temperatures(task: Task, logits: Tensor, validation: ValidationSet) -> dict[str, float]:
    """Return by region the temperature that fits the voxels of the brains best."""
    brain = (validation.images != 0).any(1)
    return {
        region.name: fit_temperature(logits[:, index][brain], validation.targets[:, index][brain])
        for index, region in enumerate(task.regions)
    }


def best_thresholds(
    task: Task, probabilities: Tensor, targets: Tensor
) -> tuple[dict[str, float], dict[str, float]]:
    """Return by region the threshold with the best mean Dice, and that Dice.

    probabilities, targets: (N, R, X, Y, Z); cases without a region do not count for it.
    """
    thresholds, scores = {}, {}
    for index, region in enumerate(task.regions):
        present = targets[:, index].flatten(1).any(1)
        threshold, score = best_threshold(list(probabilities[present, index]), list(targets[present, index]))
        thresholds[region.name], scores[region.name] = threshold, round(score, 4)
    return thresholds, scores
