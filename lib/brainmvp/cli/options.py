"""Options that several commands have, with their help."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BrainTool = Annotated[
    str, typer.Option(help="Who removes a skull: built-in, or hd-bet or synthstrip where installed.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
ModelOfTask = Annotated[str | None, typer.Option(help="NAME or NAME@VERSION; default: the task's own.")]
ServedTask = Annotated[
    str, typer.Option(help="tumour, stroke, or another that there is a model for; see `brainmvp tasks list`.")
]
