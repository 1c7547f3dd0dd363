"""From a finished run to a model with its card."""

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from brainmvp.calibration import NEAR_MM, Reliability, best_threshold, fit_temperature, near_lesion, temper
from brainmvp.card import Card
from brainmvp.modelstore import write_model
from brainmvp.networks import build_network
from brainmvp.phantom.anatomy import Anatomy
from brainmvp.phantom.grid import BrainGrid
from brainmvp.tasks import Task, get_task
from brainmvp.training.checkpoints import read_weights
from brainmvp.training.learner import config_of
from brainmvp.training.loss import dice
from brainmvp.training.validation import SEQUENCE_SETS, ValidationSet

# Below this a finding is more often noise than disease, mL; of strokes two voxels of the working grid, since of small
# infarcts more are lost by a larger one than false marks are kept by this.
_SMALLEST_ML = {"tumour": 0.1, "stroke": 0.015}
# As many to fit temperatures and thresholds on, and, from this seed above training's on, to score with them.
_CALIBRATION_PHANTOMS = 32
_FIRST_SCORED = 1_000
# Dice: less than that by which the mean of 32 phantoms would differ with others.
_AS_GOOD = 0.005
# Of cases missed altogether with a set of sequences: a share above which results from it carry a warning.
_MANY_MISSED = 0.05
# Whole heads of up to 32 cm at 2 mm in one window: neighbours' windows would only cost time.
_WINDOW = (160, 160, 160)

# Its terms (COPYING in the atlas' archive) ask for the copyright in every copy.
_ATLAS = (
    "Anatomy: ICBM 2009a symmetric tissue maps (Fonov et al., NeuroImage 2011, doi 10.1016/j.neuroimage.2010.07.033), "
    "as nilearn carries them. Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal "
    "Neurological Institute, McGill University; free to use, copy, modify and distribute with this notice, no warranty"
)
_LESJAK = "Anatomy: multiple-sclerosis patients of Lesjak et al., Neuroinformatics 2018, CC BY 4.0"
_OF_LESJAK = ("patient07", "patient19", "patient26")
_LESIONS = "Lesions: synthetic, made by brainmvp.phantom; no patient's tumour or stroke was used"
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
) -> Path:
    """Write the averaged weights of a run as FOLDER/TASK/1/{weights.safetensors, card.json}; return that folder.

    run: holds PRESET.safetensors, recipe.json and log.jsonl. Temperatures and thresholds are those that fit best on
    phantoms of `anatomies` that training never makes, and others of these give the scores.
    """
    task = get_task(task_name)
    config = config_of(preset, task)
    weights, progress = read_weights(run / f"{preset}.safetensors")
    network = build_network(config)
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    network.eval()
    fitted = ValidationSet.of(task, anatomies, _CALIBRATION_PHANTOMS)
    logits = _logits_by_set(network, fitted)
    temperatures = _temperatures(task, logits["all"], fitted)
    thresholds = best_thresholds(task, _tempered(fitted, logits, temperatures), fitted.targets)
    held_out = ValidationSet.of(task, anatomies, _CALIBRATION_PHANTOMS, _FIRST_SCORED)
    found = _tempered(held_out, _logits_by_set(network, held_out), temperatures)
    scores = mean_dice(task, found, held_out.targets, thresholds)

    patients = {anatomy.name.removesuffix("-healed") for anatomy in anatomies if not anatomy.is_average}
    recipe = json.loads((run / "recipe.json").read_text("utf-8"))
    card = Card(
        name=task.name, version=1, task=task.name, title=f"{task.title}, learned from synthetic brains",
        sequences=task.sequences, regions=tuple(region.name for region in task.regions), network=config,
        spacing=BrainGrid().spacing, window=_WINDOW, temperatures=temperatures, thresholds=thresholds,
        minimum_lesion_ml=_SMALLEST_ML[task.name], created=date.today(), data=made_of(patients),
        known_failures=_KNOWN_FAILURES[task.name],
        weak_with=weaknesses(task, found, held_out.targets, thresholds),
        parent=recipe.get("start"), training={"recipe": recipe, **progress},
        metrics={
            "dice on phantoms of the same brains, other seeds": scores,
            "calibration error on these": calibration_errors(task, found["all"], held_out),
        },
    )  # fmt: skip
    target = folder / task.name / str(card.version)
    write_model(card, weights, target)
    return target


def made_of(patients: Iterable[str]) -> tuple[str, ...]:
    """Return what made-up brains are made of, for a card; patients: names of those given besides the atlas.

    Only those that the shipped models learned from are cited: of others, the folder is all that is known.
    """
    names = sorted(patients)
    cited = [name for name in names if name in _OF_LESJAK]
    others = [name for name in names if name not in _OF_LESJAK]
    return (
        _ATLAS,
        *([f"{_LESJAK}: {', '.join(cited)}"] if cited else []),
        *([f"Anatomy: patients {', '.join(others)} of the folder given with --patients"] if others else []),
        _LESIONS,
    )


@torch.inference_mode()
def _logits_by_set(network: torch.nn.Module, phantoms: ValidationSet) -> dict[str, Tensor]:
    return {
        name: torch.cat([network(image[None].float()).half() for image in phantoms.showing(kept)])
        for name, kept in SEQUENCE_SETS[phantoms.task.name].items()
    }


def _tempered(
    phantoms: ValidationSet, logits: dict[str, Tensor], temperatures: dict[str, float]
) -> dict[str, Tensor]:
    """Return the probabilities by set of sequences, zero outside the brains."""
    scale = torch.tensor([temperatures[region.name] for region in phantoms.task.regions])
    brain = phantoms.brain
    return {
        name: temper(found.float().movedim(1, 0), scale).movedim(0, 1) * brain
        for name, found in logits.items()
    }


def _temperatures(task: Task, logits: Tensor, validation: ValidationSet) -> dict[str, float]:
    """Return by region the temperature that fits the voxels of the brains best."""
    brain = validation.brain[:, 0]
    return {
        region.name: fit_temperature(logits[:, index][brain], validation.targets[:, index][brain])
        for index, region in enumerate(task.regions)
    }


def best_thresholds(task: Task, probabilities: dict[str, Tensor], targets: Tensor) -> dict[str, float]:
    """Return by region the lowest threshold whose mean Dice over all sets of sequences is about the best.

    A model is asked with sequences missing, too, and is then less sure of what it sees; and it is less sure of patients
    than of phantoms, on which a range of thresholds is equally good. probabilities: (N, R, X, Y, Z)
    by name of `SEQUENCE_SETS`; targets: (N, R, X, Y, Z); cases without a region do not count for it.
    """
    thresholds: dict[str, float] = {}
    for index, region in enumerate(task.regions):
        found, truths = _of_region(task, index, probabilities, targets)
        together = [case for cases in found.values() for case in cases]
        thresholds[region.name], _ = best_threshold(together, list(truths) * len(found), _AS_GOOD)
    return thresholds


def mean_dice(
    task: Task, probabilities: dict[str, Tensor], targets: Tensor, thresholds: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Return by set of sequences and region the mean Dice at these thresholds; shapes as in `best_thresholds`."""
    scores: dict[str, dict[str, float]] = {name: {} for name in probabilities}
    for index, region in enumerate(task.regions):
        found, truths = _of_region(task, index, probabilities, targets)
        for name, cases in found.items():
            mean = float(dice(cases, truths, thresholds[region.name]).mean())
            scores[name][region.name] = round(mean, 4)
    return scores


def weaknesses(
    task: Task, probabilities: dict[str, Tensor], targets: Tensor, thresholds: dict[str, float]
) -> dict[str, str]:
    """Return the card's `weak_with`: incomplete sets of sequences with which too many cases are missed altogether.

    Shapes as in `best_thresholds`.
    """
    outermost = task.regions[0].name
    found, truths = _of_region(task, 0, probabilities, targets)
    weak = {}
    for name, cases in found.items():
        kept = SEQUENCE_SETS[task.name][name]
        missed = int((dice(cases, truths, thresholds[outermost]) == 0).sum())
        if len(kept) < len(task.sequences) and missed > _MANY_MISSED * len(truths):
            weak["+".join(kept)] = (
                f"with {' and '.join(kept)} alone the model missed {missed} of {len(truths)} made-up cases of "
                f"{task.name} altogether: nothing marked is no proof of absence"
            )
    return weak


def calibration_errors(
    task: Task, probabilities: Tensor, phantoms: ValidationSet
) -> dict[str, dict[str, float]]:
    """Return by region the calibration error in the brain, most of which is far from any lesion, and near lesions.

    probabilities: (N, R, X, Y, Z), with all sequences.
    """
    brain = phantoms.brain[:, 0]
    spacing = [BrainGrid().spacing] * 3
    near = torch.stack(
        [torch.from_numpy(near_lesion(lesion.numpy(), spacing)) for lesion in phantoms.targets[:, 0]]
    )

    def errors(where: Tensor) -> dict[str, float]:
        return {
            region.name: round(
                Reliability.of(
                    probabilities[:, index][where].numpy(), phantoms.targets[:, index][where].numpy()
                ).error, 5,
            )
            for index, region in enumerate(task.regions)
        }  # fmt: skip

    return {"brain": errors(brain), f"within {NEAR_MM:.0f} mm of the lesion": errors(brain & near)}


def _of_region(
    task: Task, index: int, probabilities: dict[str, Tensor], targets: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Return a region's probabilities (n, 1, X, Y, Z) in the n cases that have it, by set of sequences that show it,
    and its masks there (n, 1, X, Y, Z)."""
    present = targets[:, index].flatten(1).any(1)
    found = {
        name: of_set[present, index : index + 1]
        for name, of_set in probabilities.items()
        if task.regions[index] in task.offered(set(SEQUENCE_SETS[task.name][name]))[0]
    }
    return found, targets[present, index : index + 1]
