"""`brainmvp train-builtin`: make the shipped weights again, from nothing but synthetic brains."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import errors, say


def train_builtin(
    task: Annotated[str, typer.Option(help="tumour or stroke.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, the log and the finished model.")],
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so long, with a checkpoint; default: train to the end."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
) -> None:
    """Train a built-in model as it was trained; the same command goes on where the last one stopped."""
    from brainmvp.training import train_builtin as run

    finished = run(task, out, minutes=minutes, device=device, report=lambda event: errors.print(event))
    say(f"Model: {finished}" if finished else f"Stopped; the same command goes on from {out}.")
