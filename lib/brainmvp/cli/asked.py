"""What the options of `brainmvp finetune` and `pretrain` ask for, checked before any work."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from brainmvp.card import Card
    from brainmvp.tasks import Recipe, Task


def changed(task: "Task", changes: dict[str, Any]) -> "Recipe":
    """Return the task's recipe with changes; raises `BrainMVPError` if one of them cannot be."""
    from pydantic import ValidationError

    from brainmvp.tasks import PUBLISHED, Recipe

    unknown = set(changes.get("published", ())) - PUBLISHED.keys()
    if unknown:
        raise BrainMVPError(f"'{min(unknown)}' is no published behaviour; use {', '.join(PUBLISHED)}.")
    try:
        return Recipe.model_validate({**task.recipe.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise BrainMVPError(f"The recipe cannot have this {first['loc'][0]}: {first['msg']}.") from error


def for_start(task: "Task", changes: dict[str, Any], card: "Card") -> "Recipe":
    """Return the recipe with changes for a start; of spacing and window, what is not asked for stays as it has it.

    The window of a classification is the task's: it goes with the grid that the brain is resized to.
    """
    if changes.keys() & {"spacing", "window"}:
        window = card.window if task.kind == "segmentation" else task.recipe.window
        changes = {"spacing": card.spacing, "window": window, **changes, "as_start": False}
    return changed(task, changes)


def check_unchanged(
    begun: "tuple[Recipe, str | None]", asked: "Recipe", changes: dict[str, Any], models: list[str], many: bool,
    out: Path,
) -> None:  # fmt: skip
    """Raise `BrainMVPError` if something else is asked of a run that goes on than what it was set up with.

    asked: the recipe with `changes`, what was given on the command line; models: the ids of what is to be started from.
    """
    recipe, start = begun
    if many:  # a comparison has runs in folders of its own
        raise BrainMVPError(
            f"{out} holds one run, not a comparison or a curve; choose an empty folder for these."
        )
    other = [key for key in changes if getattr(asked, key) != getattr(recipe, key)]
    if models and models != [start]:
        other.append("from")
    check_none_other(other, out)


def check_none_other(options: list[str], out: Path) -> None:
    """Raise `BrainMVPError` if there are options, by name, that the run in `out` was set up with another value of."""
    if options:
        option = options[0].replace("frozen_encoder", "freeze_encoder").replace("_", "-")
        raise BrainMVPError(
            f"{out} holds a run that was set up with another --{option}; leave it out to go on as it was, or choose an "
            "empty folder."
        )


def check_many(many: bool, fold: int | None, devices: int, seeds: int, name: str | None) -> None:
    """Raise `BrainMVPError` for an option that a comparison or a curve, or a single run, would ignore.

    fold: None for all.
    """
    if not many and seeds > 1:
        raise BrainMVPError(
            "--seeds is for a comparison or a curve; add --fraction 1.0 to see the spread of one run."
        )
    several = "more than one process (--devices, --nodes, torchrun, srun)"
    ignored = {"--fold all": fold is None, several: devices > 1, "--name": name is not None}
    for option, asked in ignored.items():
        if many and asked:
            raise BrainMVPError(
                f"{option} is for a single model, not for a comparison or a curve, which runs on one fold and device "
                "and stores no model; leave it out."
            )


def check_folds(fold: int | None, folds: int, path: Path) -> None:
    """Raise `BrainMVPError` if all folds are asked for of a split that has no others."""
    if fold is None and folds < 2:
        raise BrainMVPError(
            f"--fold all is for a cross-validation, and {path} has one fold; add --folds 5 and another --split."
        )


def fractions_of(text: str) -> list[float]:
    """Return the shares of the labels, each above 0 and at most 1."""
    try:
        fractions = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BrainMVPError(f"--fraction {text} is not numbers with commas between, as 0.2,0.4.") from error
    if not all(0 < part <= 1 for part in fractions):
        raise BrainMVPError(f"--fraction {text} holds a number outside 0 to 1.")
    return fractions


def fold_number(text: str) -> int | None:
    """Return the number of a fold, or None for all of them."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise BrainMVPError(f"--fold {text} is neither the number of a fold, from 0, nor `all`.")
    return int(text)
