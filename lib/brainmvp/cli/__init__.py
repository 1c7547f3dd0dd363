"""The command line `brainmvp`: one file per command.

PyTorch and the image libraries are imported inside the commands, so that `brainmvp --help` answers at once.
"""

import io
import sys
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
_COMMANDS = {
    "One patient": (study.study, segment.segment, compare.compare, classify.classify),
    "A cohort to label": (serve.serve, progress.progress, simulate_annotation.simulate_annotation),
    "A cohort to learn from": (
        index.index, prepare.prepare, pretrain.pretrain, finetune.finetune, evaluate.evaluate, phantom.phantom,
        train_builtin.train_builtin,
    ),
    "This computer": (demo.demo, doctor.doctor),
}  # fmt: skip
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        # An option of Typer takes one word: the value of `serve --conf KEY VALUE` is left over.
        _settings = {"allow_extra_args": _command is serve.serve}
        app.command(_command.__name__.replace("_", "-"), rich_help_panel=_panel, context_settings=_settings)(
            _command
        )
app.add_typer(models.app, name="models", rich_help_panel="This computer")
app.add_typer(tasks.app, name="tasks", rich_help_panel="This computer")


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
    """Run the command line; bad input ends with one sentence and exit code 2.

    What goes to a file or a pipe is UTF-8: on Windows it would be a code page, to which most names are foreign.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    app()
