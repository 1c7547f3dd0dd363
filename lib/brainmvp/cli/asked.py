"""What the options of `brainmvp finetune` ask for, checked before any work."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
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


def check_unchanged(
    begun: "tuple[Recipe, str | None]", asked: "Recipe", changes: dict[str, Any], models: list[str], many: bool,
    out: Path,
) -> None:  # fmt: skip
    """Raise `BrainMVPError` if something else is asked of a run that goes on than what it was set up with.

    asked: the recipe with `changes`, what was given on the command line; models: the ids of what is to be started from.
    """
    recipe, start = begun
    if many:
        raise BrainMVPError(
            f"{out} holds one run, not a comparison or a curve; choose an empty folder for these."
        )
    other = [key for key in changes if getattr(asked, key) != getattr(recipe, key)]
    if models and models != [start]:
        other.append("from")
    if other:
        option = other[0].replace("frozen_encoder", "freeze_encoder").replace("_", "-")
        raise BrainMVPError(
            f"{out} holds a run that was set up with another --{option}; leave it out to go on as it was, or choose an "
            "empty folder."
        )


def fractions_of(text: str) -> list[float]:
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
