"""`brainmvp finetune`: teach a model one task, or measure what pretraining, labels and networks are worth."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainmvp.cli.asked import (
    changed,
    check_folds,
    check_many,
    check_unchanged,
    fold_number,
    for_start,
    fractions_of,
)
from brainmvp.cli.console import progress_bar, say, warn
from brainmvp.cli.finetune_run import Work, compare, run_folder, train_folds
from brainmvp.cli.keeping import use_of
from brainmvp.cli.options import Device
from brainmvp.cli.typed import typed_again
from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from brainmvp.case import Case
    from brainmvp.finetune.split import SplitFile
    from brainmvp.modelstore import Model, ModelStore
    from brainmvp.tasks import Task

# What a stopped run does not keep by itself.
_AGAIN = ("split", "fold", "name", "cache", "workers", "device", "devices", "nodes")


def _tell_published(asked: str | None) -> str | None:
    """List what can be had back, before the arguments are looked at, if `help` was asked for."""
    if asked != "help":
        return asked
    from brainmvp.tasks import PUBLISHED

    for key, text in PUBLISHED.items():
        say(f"{key:>10}  {text}")
    raise typer.Exit


def finetune(
    context: typer.Context,
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
    fold: Annotated[
        str,
        typer.Option(
            help="Of a cross-validation, from 0; `all`: one after the other, each in a folder of --out."
        ),
    ] = "0",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Default of this and of those down to --seed: the task's recipe."),
    ] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(min=1, help="Unless the recipe says otherwise, each study once.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Studies per device and step.")] = None,
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
    seed: Annotated[int | None, typer.Option(min=0, help="Of the weights, the order and the crops.")] = None,
    published: Annotated[
        str | None,
        typer.Option(
            help="Behaviours of the published code to have back, with commas; `help` alone lists them.",
            callback=_tell_published,
            is_eager=True,
        ),
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
    device: Device = "auto",
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="Per node; default: one, or as many as torchrun or SLURM started."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Started by torchrun or SLURM; default: as many.")
    ] = None,
) -> None:
    """Fine-tune on the training part of a cohort; the best weights by the validation part go into the model store.

    The test part is not touched: `brainmvp evaluate` does. Ctrl+C, SIGTERM and SIGUSR1 end it after a step; the same
    command, or one with --resume, goes on from there (on a CPU to the same numbers), also when it was killed. With
    --fraction it draws the label-efficiency curve, from scratch against --from; with several --network or --from it
    compares them on the same split and budget. With --folds 5 --fold all it trains one model for each fold.
    """
    from brainmvp.card import check_name
    from brainmvp.device import processes_for
    from brainmvp.finetune.folder import RunFolder
    from brainmvp.finetune.split import split_path
    from brainmvp.modelstore import ModelStore
    from brainmvp.tasks import get_task

    chosen, store = get_task(task), ModelStore()
    many = fraction is not None or "," in (network or "") or "," in (start or "")
    number = fold_number(fold)
    devices, nodes = processes_for(devices, nodes)
    check_many(many, number, devices * nodes, seeds, name)
    name = check_name(name or chosen.name)
    changes = {
        "network": None if many else network, "epochs": epochs, "steps_per_epoch": steps_per_epoch, "batch": batch,
        "lr": lr, "layer_decay": layer_decay, "frozen_encoder": freeze_encoder or None,
        "validate_every": validate_every, "patience": patience, "spacing": spacing,
        "window": window and (window,) * 3, "seed": seed,
        "published": published and [part.strip() for part in published.split(",")],
    }  # fmt: skip
    changes = {key: value for key, value in changes.items() if value is not None}
    recipe = changed(chosen, changes)
    fractions = fractions_of(fraction) if fraction else [1.0]
    begun = RunFolder(run_folder(out, number, 0)).begun() if resume else None
    models = [_start(part.strip(), store) for part in start.split(",")] if start else []
    if begun:
        check_unchanged(begun, recipe, changes, [model.card.id for model in models], many, out)
        recipe = begun[0]
        models = [store.resolve(begun[1])] if begun[1] else []
    elif models and not many:
        recipe = for_start(chosen, changes, models[0].card)
    if models and network and not many:
        raise BrainMVPError(
            f"--network {network} is for a training from scratch, and --from {models[0].card.id} brings its own "
            "network; leave one of them out."
        )
    path = split or split_path(index, chosen)
    if not path.exists():
        check_folds(number, folds or chosen.split.folds, path)
    cases, drawn = _split(chosen, index, path, folds, seed or 0)
    check_folds(number, len(drawn.folds), path)
    if recipe.chooser == "test":
        warn(
            "the test studies choose the best weights, as published: their scores say nothing of new patients."
        )
    work = Work(chosen, cases, drawn, path, store, out, cache, device, workers)
    if many:
        starts = [(model, for_start(chosen, changes, model.card)) for model in models]
        compare(work, starts, recipe, network, fractions, range(recipe.seed, recipe.seed + seeds), number)
        return
    made = train_folds(work, models[0] if models else None, recipe, number, devices, nodes, name)
    if made is None:
        command = shlex.join(["brainmvp", "finetune", chosen.name, str(index), "--out", str(out)])
        say(f"Stopped; go on with: {command}{typed_again(context, *_AGAIN)} --resume")
    elif made:
        ids = ",".join(stored.card.id for stored in made)
        where = (f" --split {split}" if split else "") + (
            f" --fold {fold}" if fold not in ("0", "all") else ""
        )
        say(f"Its test: brainmvp evaluate {chosen.name} {index} --model {ids}{where} --out {out / 'test'}")
        if number is not None:
            say(use_of(made[0].card))


def _start(reference: str, store: "ModelStore") -> "Model":
    """Return a model of the store, or a published checkpoint that is there already or is imported now."""
    path = Path(reference)
    if not path.is_file():
        return store.resolve(reference)
    from brainmvp.importing import import_once

    model, report = import_once(path, store)
    say(
        f"{report}\nStored as {model.card.id}"
        if report
        else f"{path.name} is in the store as {model.card.id}."
    )
    return model


def _split(
    task: "Task", index: Path, path: Path, folds: int | None, seed: int
) -> "tuple[list[Case], SplitFile]":
    """Return the cases of an index and their split, drawn now if there is none yet."""
    from brainmvp.cohort import Index
    from brainmvp.cohort.cases import cases_of, held_out
    from brainmvp.finetune.split import get_split

    cohort = Index.read(index)
    cases, notes = cases_of(cohort, task)
    for note in notes:
        say(note)
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
    return cases, drawn
