"""What every command shares: how it prints, how it shows progress and how it ends on bad input."""

import errno
import inspect
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from brainmvp.errors import BrainMVPError, first_line
from brainmvp.files import readable

# Results go to standard output; progress and complaints to standard error, so that output can be piped.
output = Console()
if not output.is_terminal:
    output.width = 1000  # a pipe has no edge: one line a row, however long, for whoever searches it
errors = Console(stderr=True)

BAD_INPUT = 2

# What to do about what the system refuses; what else it says speaks for itself (a name that is too long).
_REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space")
_REMEDIES |= dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS), "choose a place that you may use, or ask for the permission"
)


class Group(TyperGroup):
    """Commands whose `BrainMVPError` ends in one sentence and exit code 2, not in a traceback.

    Their help fills the lines of the terminal, not those of the docstring. A path may begin with `~`, also where the
    shell leaves it (`--out=~/x`).
    """

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command and command.help:
            paragraphs = inspect.cleandoc(command.help).split("\n\n")
            command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        for parameter in command.params if command else ():
            parameter.callback = parameter.callback or _from_home
        return command

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrainMVPError as error:
            complain(error)
            raise typer.Exit(BAD_INPUT) from error
        except BrokenPipeError:  # whoever reads the output has seen enough
            raise
        except OSError as error:
            complain(refused(error))
            raise typer.Exit(BAD_INPUT) from error


def _from_home(context: typer.Context, parameter: Any, value: Any) -> Any:
    return type(value)(os.path.expanduser(value)) if isinstance(value, str | Path) else value


def refused(error: OSError) -> BrainMVPError:
    """Return what the system refused as one sentence; the system's own names the file."""
    place = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    return BrainMVPError(f"{place}; {_REMEDIES.get(error.errno, 'choose another place')}.")


@contextmanager
def computing(what: str) -> Iterator[None]:
    """Make what the libraries raise in the block a sentence that begins with `what`: most often, memory was short."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # of PyTorch and ITK
        raise BrainMVPError(
            f"{what} ({first_line(error)}); if it was memory, free some or choose another --device."
        ) from error


def complain(error: BrainMVPError) -> None:
    """Print an error's sentence, unwrapped: it names files that someone may want to copy."""
    typer.echo(f"Error: {error}", err=True)


def warn(sentence: str) -> None:
    """Print what the user should know though the work goes on, unwrapped, to standard error."""
    typer.echo(f"Note: {sentence}", err=True)


def say(text: str) -> None:
    """Print a line as it is: unwrapped, brackets and all, since it may name files."""
    output.print(readable(text), markup=False, highlight=False, soft_wrap=True)


def print_table(title: str | None, columns: dict[str, str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; columns: heading to "left" or "right".

    Words are kept whole where the terminal is wide enough; in the first column names, which are typed, always.
    """
    rows = [tuple(map(readable, row)) for row in rows]
    cells = [[heading, *(row[number] for row in rows)] for number, heading in enumerate(columns)]
    longest = [max(len(word) for cell in column for word in cell.split() or [""]) for column in cells]
    fits = sum(longest) + 3 * len(columns) + 1 <= output.width
    table = Table(title=title and escape(readable(title)), title_justify="left", title_style="bold")
    for number, (heading, side) in enumerate(columns.items()):
        whole = (fits or number == 0) and not any(" " in cell for cell in cells[number])
        table.add_column(heading, justify=side, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*map(escape, row))
    output.print(table)


def print_json(value: Any) -> None:
    """Print a JSON-ready value to standard output; a number that is not one becomes null, as JSON has no NaN."""
    typer.echo(readable(json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """Show one bar on standard error while the block runs; yields `tell(step, fraction)`."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def tell(step: str, fraction: float) -> None:
            bar.update(task, description=f"{title}: {step}", completed=fraction)

        yield tell
