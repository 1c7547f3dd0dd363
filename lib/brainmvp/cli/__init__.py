"""The command line `brainmvp`: one file per command.

PyTorch and the image libraries are imported inside the commands, so that `brainmvp --help` answers at once.
"""

from typing import Annotated

import typer

from brainmvp import __version__
from brainmvp.cli import (
    classify,
    compare,
    demo,
    doctor,
    evaluate,
    finetune,
    index,
    models,
    phantom,
    prepare,
    pretrain,
    progress,
    segment,
    serve,
    simulate_annotation,
    study,
    tasks,
    train_builtin,
)
from brainmvp.cli.console import Group

app = typer.Typer(
    cls=Group,
    name="brainmvp",
    help="Segment multi-sequence brain MRI: tumours and strokes. Not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("study")(study.study)
app.command("segment")(segment.segment)
app.command("compare")(compare.compare)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.add_typer(models.app, name="models")
app.command("phantom")(phantom.phantom)
app.command("index")(index.index)
app.add_typer(tasks.app, name="tasks")
app.command("finetune")(finetune.finetune)
app.command("evaluate")(evaluate.evaluate)
app.command("classify")(classify.classify)
app.command("prepare")(prepare.prepare)
app.command("pretrain")(pretrain.pretrain)
app.command("progress")(progress.progress)
app.command("simulate-annotation")(simulate_annotation.simulate_annotation)
app.command("train-builtin")(train_builtin.train_builtin)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"brainmvp {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit code 2."""
    app()
