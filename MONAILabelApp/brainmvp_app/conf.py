"""The app's settings, as `--conf KEY VALUE` gives them."""

import math
from dataclasses import dataclass

from brainmvp.annotation.leases import LEASE_SECONDS
from brainmvp.brain import BUILT_IN, check_choice
from brainmvp.errors import BrainMVPError
from brainmvp.tasks import Task, get_task, task_names

_KEYS = ("models", "device", "brain", "seed", "lease_minutes", "train_after", "score_archive")
_STOCK_KEYS = ("server_mode",)  # what MONAI Label's own class reads


@dataclass(frozen=True)
class Conf:
    """What the server is to be like.

    tasks: the segmentations that are offered; brain: who removes a skull; seed: of the strategies' draws;
    lease_seconds: for how long a study is an annotator's; train_after: so many new final labels, 0 for only when asked;
    score_archive: whether an archive's studies are fetched to be scored.
    """

    tasks: tuple[Task, ...]
    device: str
    brain: str
    seed: int
    lease_seconds: float
    train_after: int
    score_archive: bool

    @classmethod
    def read(cls, given: dict[str, str]) -> "Conf":
        """Return the settings; raises `BrainMVPError` for a key or value that there is not."""
        unknown = [key for key in given if key not in (*_KEYS, *_STOCK_KEYS)]
        if unknown:
            raise BrainMVPError(f"--conf has no {unknown[0]!r}; use {', '.join(_KEYS)}.")
        brain = given.get("brain", BUILT_IN)
        check_choice(brain)
        return cls(
            tasks=_tasks(given.get("models", "")),
            device=given.get("device", "auto"),
            brain=brain,
            seed=int(_number(given, "seed", 0)),
            lease_seconds=60 * _number(given, "lease_minutes", LEASE_SECONDS / 60),
            train_after=int(_number(given, "train_after", 0)),
            score_archive=_switch(given, "score_archive"),
        )


def _number(given: dict[str, str], name: str, otherwise: float) -> float:
    value = given.get(name, otherwise)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise BrainMVPError(f"--conf {name} is {value!r}; give a number of at least 0.")
    return number


def _switch(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "false").lower()
    if value not in ("true", "false"):
        raise BrainMVPError(f"--conf {name} is {given[name]!r}; give true or false.")
    return value == "true"


def _tasks(wanted: str) -> tuple[Task, ...]:
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    tasks = tuple(get_task(name) for name in names or task_names())
    for task in tasks:
        if task.kind != "segmentation":
            raise BrainMVPError(
                f"--conf models is of segmentations, and {task.name} classifies; leave it out: it is offered once "
                "there is a model for it."
            )
    return tasks
