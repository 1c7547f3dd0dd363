"""What a training on final labels is made of; kept beside it, so that one that ended early goes on with the same."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainmvp.annotation.cases import label_state
from brainmvp.annotation.held_out import HeldOut
from brainmvp.case import Case
from brainmvp.chance import by_chance
from brainmvp.device import pick_device
from brainmvp.files import write_json
from brainmvp.tasks import Recipe, Task

# Of the patients that are not held out, to choose the best epoch by; one at least.
_VALIDATION_SHARE = 0.15
# What a CPU manages while someone waits.
_CPU_EPOCHS, _CPU_STEPS = 8, 20
_FILE = "plan.json"


@dataclass(frozen=True)
class Options:
    """What a client may choose of a training; None: the task's recipe, or the CPU's budget."""

    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Plan:
    """Whom a run learns from, and how.

    start: the model that it goes on from; labels: their states, by study; recipe: JSON-ready; seen: how many final
    labels there were, those of held-out studies too.
    """

    start: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    labels: dict[str, str]
    recipe: dict[str, Any]
    seen: int

    @classmethod
    def draw(cls, task: Task, start: str, cases: list[Case], held_out: HeldOut, options: Options) -> "Plan":
        """Return a plan for the labelled studies: who of them validates is drawn by patient."""
        free = [case for case in cases if not held_out.holds(case.id)]
        patients = sorted({case.group for case in free}, key=lambda p: by_chance(f"{options.seed}:{p}"))
        count = max(1, round(_VALIDATION_SHARE * len(patients)))
        validating = set(patients[:count])
        train = tuple(case.id for case in free if case.group not in validating)
        return cls(
            start=start,
            train=train,
            validation=tuple(case.id for case in free if case.group in validating),
            labels={case.id: label_state(case) for case in free},
            recipe=_recipe(task.recipe, options, len(train)).model_dump(mode="json"),
            seen=len(cases),
        )

    @classmethod
    def read(cls, folder: Path) -> "Plan | None":
        """Return the plan of the run in a folder, or None if there is none."""
        try:
            stored = json.loads((folder / _FILE).read_text("utf-8"))
            return cls(
                **stored | {"train": tuple(stored["train"]), "validation": tuple(stored["validation"])}
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, folder: Path) -> None:
        """Keep the plan in the folder of its run."""
        write_json(folder / _FILE, asdict(self))

    def still_of(self, cases: list[Case]) -> bool:
        """Tell whether the labels are as they were."""
        now = {case.id: label_state(case) for case in cases}
        return all(now.get(study) == label for study, label in self.labels.items())


def _recipe(recipe: Recipe, options: Options, cases: int) -> Recipe:
    epochs, steps = options.epochs or recipe.epochs, options.steps
    if pick_device(options.device).type == "cpu":
        epochs = options.epochs or min(recipe.epochs, _CPU_EPOCHS)
        steps = steps or min(recipe.steps_per_epoch or cases, _CPU_STEPS)
    changes = {"epochs": epochs, "steps_per_epoch": steps, "seed": options.seed}
    return recipe.model_copy(update={name: value for name, value in changes.items() if value is not None})
