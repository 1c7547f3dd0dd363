"""`brainmvp finetune`: teach a model one task, or measure what pretraining, labels and networks are worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainmvp.cli.console import progress_bar, say, warn
from brainmvp.cli.keeping import keep_once
from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from brainmvp.finetune import Progress
    from brainmvp.finetune.start import Start
    from brainmvp.modelstore import Model, ModelStore
    from brainmvp.tasks import Recipe, Task


def finetune(
    task: Annotated[str, typer.Argument(help="A task's name; see `brainmvp tasks list`.")],
    index: Annotated[Path, typer.Argument(help="The cohort's index, made by `brainmvp index`.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: state, curves, example pictures.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, as it was set up, if there is one.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="NAME\\[@VERSION] of the store, or a published checkpoint (.pt), or with commas several to compare; "
            "else scratch.",
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="From scratch: a network; with commas between, they are compared.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="The split; drawn and written if absent; default: beside the index.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Draw the split as a cross-validation of so many folds.")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, help="Of a cross-validation, from 0.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the task's recipe, as below.")] = None,
    steps_per_epoch: Annotated[int | None, typer.Option(min=1)] = None,
    batch: Annotated[int | None, typer.Option(min=1)] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Learning rate.")] = None,
    layer_decay: Annotated[
        float | None, typer.Option(min=0, max=1, help="Factor of the learning rate per deeper encoder level.")
    ] = None,
    freeze_encoder: Annotated[
        bool, typer.Option("--freeze-encoder", help="Train decoder and head only.")
    ] = False,
    validate_every: Annotated[int | None, typer.Option(min=1, help="Epochs between validations.")] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many validations without a better one.")
    ] = None,
    spacing: Annotated[float | None, typer.Option(min=0, help="mm; default: that of --from.")] = None,
    window: Annotated[
        int | None, typer.Option(min=16, help="Edge of a crop, voxels; default: that of --from.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights, the order and the crops.")] = 0,
    published: Annotated[
        str | None,
        typer.Option(help="Behaviours of the published code to have back, with commas; `help` lists them."),
    ] = None,
    fraction: Annotated[
        str | None,
        typer.Option(help="Label efficiency: shares of the training patients, as 0.2,0.4,0.6,0.8,1.0."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of label efficiency or comparison: runs of each.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="The model's name in the store; default: the task's.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where prepared studies are kept; default: in the run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that prepare studies and crops.")] = 2,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Per node; more than one needs Lightning.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Started by torchrun or SLURM.")] = 1,
) -> None:
    """Fine-tune on the training part of a cohort; the best weights by the validation part go into the model store.

    The test part is not touched: `brainmvp evaluate` does. Ctrl+C, SIGTERM and SIGUSR1 end it after a step; the same
    command, or one with --resume, goes on from there to the same numbers, and so it does when it was killed. With
    --fraction it draws the label-efficiency curve, from scratch against --from; with several --network or --from it
    compares them on the same split and budget.
    """
    if published == "help":
        _tell_published()
        return
    from brainmvp.card import check_name
    from brainmvp.finetune.folder import RunFolder
    from brainmvp.modelstore import ModelStore
    from brainmvp.stop import stoppable
    from brainmvp.tasks import get_task

    chosen = get_task(task)
    name = check_name(name or chosen.name)
    changes = {
        "epochs": epochs, "steps_per_epoch": steps_per_epoch, "batch": batch, "lr": lr, "layer_decay": layer_decay,
        "frozen_encoder": freeze_encoder or None, "validate_every": validate_every, "patience": patience,
        "spacing": spacing, "window": window and (window,) * 3, "seed": seed,
        "published": published and [part.strip() for part in published.split(",")],
    }  # fmt: skip
    changes = {key: value for key, value in changes.items() if value is not None}
    recipe = changed(chosen, changes)
    fractions = _fractions(fraction) if fraction else [1.0]
    store = ModelStore()
    begun = RunFolder(out).begun() if resume else None
    if begun:
        _check_unchanged(chosen, begun, changes, start, out)
        recipe, start = begun
        network = fraction = None
    models = [_start(part.strip(), store) for part in start.split(",")] if start else []
    if models and not begun and (spacing or window):  # what is not asked for stays as the start has it
        card = models[0].card
        grid = {"spacing": spacing or card.spacing, "window": changes.get("window", card.window)}
        recipe = changed(chosen, {**changes, **grid, "as_start": False})
    many = fraction is not None or len(models) > 1 or (network is not None and "," in network)
    if models and network and not many:
        raise BrainMVPError(
            f"--network {network} is for a training from scratch, and --from {start} brings its own network; leave one "
            "of them out."
        )
    parts = _parts(chosen, index, split, folds, fold, seed)
    if many:
        _experiment(chosen, parts, models, recipe, network, fractions, seeds, out, device, workers)
        return
    model = models[0] if models else None
    if network:
        recipe = changed(chosen, {**recipe.model_dump(exclude_unset=True), "network": network})
    machine = None
    if devices * nodes > 1:
        from brainmvp.finetune.machine import ManyDevices

        machine = ManyDevices(device, devices, nodes)
        machine.launch()
    from brainmvp.finetune import finetune as run

    validation = parts["validation"]
    if "selection" in recipe.published:
        validation = parts["test"]
        warn(
            "the test studies choose the best weights, as published: their scores say nothing of new patients."
        )
    with progress_bar(chosen.name) as tell, stoppable() as stop:
        result = run(
            chosen, parts["train"], validation, model, recipe, out, device=device, machine=machine, cache=cache,
            workers=workers, progress=lambda p: tell(describe(p), p.share),
            opening=lambda begun: say(describe_start(begun, model, recipe)),
            preparing=lambda done, total: tell(f"preparing {done}/{total}", done / total),
            should_stop=lambda: stop.signal is not None,
        )  # fmt: skip
    if machine is not None and machine.rank:
        return
    where = (f" --split {split}" if split else "") + (f" --fold {fold}" if fold else "")
    if not result.finished:
        say(f"Stopped; go on with: brainmvp finetune {chosen.name} {index} --out {out}{where} --resume")
        return
    epochs = len(result.history)
    stored = keep_once(out, {"epochs": epochs}, store, lambda: result.store(store, name))
    scores = ", ".join(f"{key} {value:.4f}" for key, value in result.metrics.items())
    say(f"Best of {epochs} epochs, by validation: {scores}")
    say(f"Stored as {stored.card.id} in {stored.folder}; curves and examples in {out}")
    say(
        f"Its test: brainmvp evaluate {chosen.name} {index} --model {stored.card.id}{where} --out {out / 'test'}"
    )


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


def describe_start(begun: "Start", model: "Model | None", recipe: "Recipe") -> str:
    """Return what a run begins with, in a line: whose weights, and what became of each part of them."""
    if model is None:
        return f"From scratch: {recipe.network}, all weights new" + (
            "; the encoder is frozen, and so never learns" if recipe.frozen_encoder else ""
        )
    of = f"a model for {model.card.task}" if model.card.task else "a pretrained encoder"
    frozen = "; the encoder is frozen" if recipe.frozen_encoder else ""
    return f"From {model.card.id}, {of}: {begun}{frozen}"


def describe(progress: "Progress") -> str:
    """Return where a run is, in a line."""
    from brainmvp.finetune.result import duration

    scores = ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())
    return (
        f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}"
        f"{', ' + scores if scores else ''}, {duration(progress.seconds_left)} left"
    )


def _tell_published() -> None:
    from brainmvp.tasks import PUBLISHED

    for key, text in PUBLISHED.items():
        say(f"{key:>10}  {text}")


def _start(reference: str, store: "ModelStore") -> "Model":
    """Return a model of the store, or a published checkpoint that is there already or is imported now."""
    path = Path(reference)
    if not path.is_file():
        return store.resolve(reference)
    from brainmvp.importing import find_imported, import_model

    known = find_imported(path, store)
    if known:
        say(f"{path.name} is in the store as {known.card.id}.")
        return known
    model, report, _ = import_model(path, store)
    say(f"{report}\nStored as {model.card.id}")
    return model


def _check_unchanged(
    task: "Task", begun: "tuple[Recipe, str | None]", changes: dict[str, Any], start: str | None, out: Path
) -> None:
    """Raise `BrainMVPError` if something else is asked of a run that goes on than what it was set up with."""
    asked = changed(task, changes)
    other = [key for key in changes if key != "seed" and getattr(asked, key) != getattr(begun[0], key)]
    if start is not None and begun[1] is None:
        other.append("from")
    if other:
        option = other[0].replace("frozen_encoder", "freeze_encoder").replace("_", "-")
        raise BrainMVPError(
            f"{out} holds a run that was set up with another --{option}; leave it out to go on as it was, or choose an "
            "empty folder."
        )


def _parts(
    task: "Task", index: Path, split: Path | None, folds: int | None, fold: int, seed: int
) -> dict[str, Any]:
    from brainmvp.cohort import Index
    from brainmvp.finetune.cohort import cases_of, held_out
    from brainmvp.finetune.split import get_split, split_path

    cohort = Index.read(index)
    cases, notes = cases_of(cohort, task)
    for note in notes:
        say(note)
    path = split or split_path(index, task)
    with progress_bar("Split") as tell:
        drawn = get_split(
            task,
            cases,
            held_out(cohort),
            path,
            seed,
            lambda done, total: tell("reading labels", done / total),
            folds,
        )
    parts = drawn.parts(cases, fold, path)
    say(", ".join(f"{len(part)} {side}" for side, part in parts.items()) + f" (by patient, {path})")
    return parts


def _fractions(text: str) -> list[float]:
    try:
        fractions = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BrainMVPError(f"--fraction {text} is not numbers with commas between, as 0.2,0.4.") from error
    if not all(0 < part <= 1 for part in fractions):
        raise BrainMVPError(f"--fraction {text} holds a number outside 0 to 1.")
    return fractions


def _experiment(
    task: "Task", parts: dict[str, Any], models: "list[Model]", recipe: "Recipe", network: str | None,
    fractions: list[float], seeds: int, out: Path, device: str, workers: int,
) -> None:  # fmt: skip
    from brainmvp.finetune.experiment import Variant, run_experiment
    from brainmvp.stop import stoppable

    networks = [part.strip() for part in network.split(",")] if network else [recipe.network]
    variants = [
        Variant(name if len(networks) > 1 or not models else "scratch", None, name) for name in networks
    ]
    if models and network is None:  # the fair comparison is the pretrained network without its pretraining
        variants = [Variant("scratch", models[0], None, fresh=True)]
    variants += [Variant(f"from {model.card.id}", model, None) for model in models]
    with progress_bar(task.name) as tell, stoppable() as stop:
        rows = run_experiment(
            task, parts, variants, fractions, list(range(seeds)), recipe, out, tell, device=device, workers=workers,
            should_stop=lambda: stop.signal is not None,
        )  # fmt: skip
    if rows is None:
        say("Stopped; the same command goes on from here.")
        return
    say((out / "summary.md").read_text("utf-8"))
    say(f"{len(rows)} runs; tables and pictures in {out}")
