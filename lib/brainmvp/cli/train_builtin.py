"""`brainmvp train-builtin`: make a built-in model from nothing but synthetic brains."""

import json
from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import say
from brainmvp.cli.keeping import keep_once, use_of
from brainmvp.cli.options import Device
from brainmvp.cli.parts import pretraining
from brainmvp.errors import BrainMVPError

ENCODER = "encoder"


def train_builtin(
    task: Annotated[str, typer.Option(help="tumour or stroke; or encoder: the pretraining.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, the log and the finished model.")],
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so long, with a checkpoint; default: train to the end."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Length of the whole training, a phantom each; default: as it was begun, or 28,000, "
            "four to five hours on two CPU cores.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Stored model or encoder to go on from, NAME@VERSION; default: from nothing."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Default: unet-light, as built in; uniformer-compact and unet-compact fit a CPU, too."
        ),
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option(
            help="Folder of real brains to learn from, besides the MNI152 atlas: of each patient, "
            "NAME/NAME_{t1,t1ce,t2,flair,lesions}.nii.gz at 1 mm, upright, on one grid, without skull; for the "
            "encoder, NAME/NAME_SEQUENCE.nii.gz."
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Train a model like the built-in ones; the same command goes on where the last one stopped."""
    if task == ENCODER:
        if (minutes, steps, start, network) != (None, None, None, None):
            raise BrainMVPError(
                "--minutes, --steps, --from and --network are of the tasks; the encoder's network and length are fixed."
            )
        work = pretraining("builtin")
        _say_end(work.train_encoder(out, patients=patients, device=device, report=_tell), out)
        return
    from brainmvp.training import train_builtin as run

    finished = run(
        task, out, minutes=minutes, device=device, patients=patients, steps=steps, start=start, network=network,
        report=_tell,
    )  # fmt: skip
    _say_end(finished, out)


def _say_end(finished: Path | None, out: Path) -> None:
    """Store a finished model, so that it can be used, and say how."""
    if finished is None:
        say(f"Stopped; the same command goes on from {out}.")
        return
    from brainmvp.modelstore import ModelStore

    store = ModelStore()
    training = json.loads((finished / "card.json").read_text("utf-8"))["training"]
    mark = {"folder": str(finished.relative_to(out)), "steps": training.get("steps")}
    card = keep_once(out, mark, store, lambda: store.take(finished)).card
    say(f"Model: {card.id}, from {finished}")
    say(use_of(card))


def _tell(event: dict) -> None:
    typer.echo(json.dumps(event), err=True)
