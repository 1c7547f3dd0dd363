"""The models of a cross-validation, each beside the patients whom its fold kept from it."""

from pathlib import Path

from brainmvp.card import mark_of
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.evaluation.turns import Turn
from brainmvp.finetune.split import Fold, SplitFile
from brainmvp.modelstore import Model


def fold_of(model: Model, split: SplitFile, cases: list[Case]) -> int | None:
    """Return the fold that a model was trained in, by the studies that its card marks, or None if it was in none."""
    # Older cards have the names themselves.
    patients = {said: case.group for case in cases for said in (mark_of(case.id), case.id)}
    learned, chose = (
        {patients.get(study, study) for study in model.card.training.get(side, ())}
        for side in ("train", "validation")
    )
    for number, fold in enumerate(split.folds):
        if learned and learned <= set(fold.train) and chose <= _choosers(fold, model):
            return number
    return None


def turns_by_fold(models: list[Model], split: SplitFile, path: Path, cases: list[Case]) -> list[Turn]:
    """Return one turn for each fold: its model, and the cases of its test; so every patient is tested once.

    Raises `BrainMVPError` if a model was trained in no fold of this split, two in the same one, or none in one.
    """
    by_fold: dict[int, Model] = {}
    for model in models:
        number = fold_of(model, split, cases)
        if number is None:
            raise BrainMVPError(
                f"{model.card.id} was trained in no fold of {path}; give the models that "
                f"`brainmvp finetune {split.task} … --fold all` made with this split."
            )
        if number in by_fold:
            raise BrainMVPError(
                f"{by_fold[number].card.id} and {model.card.id} are both of fold {number} of {path}; give one model "
                "for each fold."
            )
        by_fold[number] = model
    for number in range(len(split.folds)):
        if number not in by_fold:
            raise BrainMVPError(
                f"None of these models is of fold {number} of {path}, whose patients would be left out; give that of "
                f"`brainmvp finetune {split.task} … --fold {number}`, too."
            )
    return [
        Turn(by_fold[number], split.parts(cases, number, path)["test"]) for number in range(len(split.folds))
    ]


def _choosers(fold: Fold, model: Model) -> set[str]:
    """Return who may have chosen the weights of a model of this fold; as published, those of the test did."""
    published = model.card.training.get("recipe", {}).get("published", ())
    return set(fold.test if "selection" in published else fold.validation)
