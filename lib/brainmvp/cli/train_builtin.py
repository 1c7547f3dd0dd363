"""`brainmvp train-builtin`: make a built-in model from nothing but synthetic brains."""

import json
from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import say


def train_builtin(
    task: Annotated[str, typer.Option(help="tumour or stroke.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, the log and the finished model.")],
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so long, with a checkpoint; default: train to the end."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the whole training; default: 5000.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Stored model to go on from, NAME@VERSION; default: from nothing."),
    ] = None,
    patients: Annotated[
        Path | None, typer.Option(help="Folder of real brains to put lesions into, besides the MNI152 atlas.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
) -> None:
    """Train a model like the built-in ones; the same command goes on where the last one stopped."""
    from brainmvp.training import train_builtin as run

    length = {} if steps is None else {"steps": steps}
    finished = run(
        task, out, minutes=minutes, device=device, patients=patients, start=start, report=_tell, **length
    )  # fmt: skip
    say(f"Model: {finished}" if finished else f"Stopped; the same command goes on from {out}.")


def _tell(event: dict) -> None:
    typer.echo(json.dumps(event), err=True)
