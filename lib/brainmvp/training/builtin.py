"""One command's work: train a built-in model from nothing, and export it when it is done."""

import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from brainmvp.allocation import kept_memory
from brainmvp.card import Card
from brainmvp.device import pick_device
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore
from brainmvp.phantom.anatomy import load_anatomies
from brainmvp.phantom.write import USUAL_SEQUENCES
from brainmvp.tasks import get_task
from brainmvp.training.export import export_model
from brainmvp.training.train import Recipe, Report, train

# The network of the shipped models, and hours of two CPU cores: of tumours fewer phantoms than the shipped model has
# learned from, of strokes more (see their cards). In steps, not minutes, so that any machine comes to the same end. One
# brain a step: on a CPU more of them cost as much more time.
NETWORK = "unet-light"
STEPS = 28_000
_BATCH = 1


def train_builtin(
    task: str,
    out: Path,
    *,
    minutes: float | None = None,
    device: str = "auto",
    patients: Path | None = None,
    steps: int | None = None,
    start: str | None = None,
    network: str | None = None,
    report: Report | None = None,
) -> Path | None:
    """Train the built-in model of a task, or go on from what `out` holds; return its folder once it is finished.

    minutes: stop after so long and return None, unless it is finished by then; patients: real brains to put lesions
    into (see `load_anatomies`), else the MNI152 atlas alone; steps: the run's length; if not given, the one it
    began with, or `STEPS`; start: a stored model of the task, or a pretrained encoder, to go on from (`NAME@VERSION`),
    which becomes the parent; network: a preset, if not `NETWORK`; report: called with each line of the log.
    Raises `BrainMVPError` if there is no such task, device, model or network, the model is of another task, or
    `out` holds another run.
    """
    name = get_task(task).name
    if name not in USUAL_SEQUENCES:
        raise BrainMVPError(
            f"Made-up brains have no {name}; the task is one of {', '.join(USUAL_SEQUENCES)}."
        )
    network = network or NETWORK
    parent = _parent(name, start) if start else None
    # Weights that know the easy pictures already go on with the full mix.
    easy = {"easy": 0.0} if parent and parent.kind != "encoder" else {}
    anatomies = load_anatomies(2.0, patients)
    recipe = Recipe(
        name, network, steps=steps or STEPS, batch=_BATCH, start=parent and parent.id,
        anatomies=tuple(anatomy.name for anatomy in anatomies), **easy,
    )  # fmt: skip
    begun = _length_of_same_run(out, recipe)
    if begun and steps is None:
        recipe = replace(recipe, steps=begun)
    machine = pick_device(device)
    with kept_memory() if machine.type == "cpu" else nullcontext():
        done = train(
            recipe, out, anatomies, machine, report=report,
            stop_after=None if minutes is None else 60 * minutes,
        )  # fmt: skip
    if recipe.progress(done) < 1.0:
        return None
    for path in sorted((out / "model" / name).glob("*/card.json")):
        # A run that was made longer has learned since its card was written.
        if json.loads(path.read_text("utf-8"))["training"].get("steps") == done:
            return path.parent
    return export_model(name, network, out, out / "model", anatomies)


def _parent(task: str, start: str) -> Card:
    model = ModelStore().resolve(start)
    if model.card.kind != "encoder":
        model.check_task(task)
    return model.card


def _length_of_same_run(out: Path, recipe: Recipe) -> int | None:
    """Return the steps of the run that `out` holds, None without one; raises `BrainMVPError` if it is another run.

    Only the length of a run may change.
    """
    path = out / "recipe.json"
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        steps = int(stored["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrainMVPError(
            f"{path} is damaged; delete it to go on with this task and these brains, or choose an empty folder."
        ) from error
    now = json.loads(json.dumps(asdict(replace(recipe, steps=steps))))
    if other := [f"{key} {stored.get(key)}, not {now[key]}" for key in now if stored.get(key) != now[key]]:
        raise BrainMVPError(
            f"{out} holds another run ({'; '.join(other)}); give the same --task, --network, --from and --patients "
            "in the same version, or choose an empty folder."
        )
    return steps
