"""From a finished training run to a model version: half-precision weights and a card."""

from datetime import date
from pathlib import Path
from typing import Any

import torch

from brainmvp.card import Card
from brainmvp.modelstore import write_model
from brainmvp.tasks import get_task
from brainmvp.training.plan import TrainingPlan
from brainmvp.training.trainee import Trainee

# Whole brains of up to 32 cm fit into one window at 2 mm.
_WINDOW = (160, 160, 160)


def export(trainee: Trainee, plan: TrainingPlan, version: int, folder: Path, **facts: Any) -> Card:
    """Write `weights.safetensors` (float16) and `card.json` into `folder`; `facts` are further fields of the card."""
    task = get_task(plan.task)
    card = Card(
        name=plan.task,
        version=version,
        task=plan.task,
        title=f"{task.title}, learned from synthetic brains",
        sequences=task.sequences,
        regions=tuple(region.name for region in task.regions),
        network=trainee.config,
        spacing=plan.spacing,
        window=_WINDOW,
        created=date.today(),
        training=plan.model_dump(),
        **facts,
    )
    weights = {
        key: value.half() if value.is_floating_point() else value
        for key, value in trainee.shipped().state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_model(card, weights, folder)
    return card


def shipped_weights(path: Path, network: str) -> dict[str, torch.Tensor]:
    """Return the averaged weights of one network from a run's checkpoint."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "module."
    average = state["trainees"][network]["average"]
    return {key.removeprefix(prefix): value for key, value in average.items() if key.startswith(prefix)}
