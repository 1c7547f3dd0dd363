"""`brainmvp progress`: how far an annotation is, as a picture and a table."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import print_json, print_table, say


def progress(
    studies: Annotated[Path, typer.Argument(help="The folder that was served.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for progress.png and progress.csv; default: the current one.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the history as JSON and write nothing.")
    ] = False,
) -> None:
    """Draw labels over time, Dice by model version, time by label and who labelled what."""
    from brainmvp.annotation.chart import draw_history, write_table
    from brainmvp.annotation.history import history

    told = history(studies)
    if as_json:
        print_json(told)
        return
    folder = out or Path.cwd()
    picture, table = draw_history(told, folder / "progress.png"), write_table(told, folder / "progress.csv")
    columns = {"Annotator": "left", "Final": "right", "Draft": "right", "Skipped": "right", "Median": "right"}
    rows = [
        (name or "unknown", str(person["final"]), str(person["draft"]), str(person["skipped"]),
         "" if person["median_seconds"] is None else f"{person['median_seconds'] / 60:.1f} min")
        for name, person in told["annotators"].items()
    ]  # fmt: skip
    print_table(None, columns, rows)
    for version in (version for version in told["versions"] if "sentence" in version):
        say(version["sentence"])
    say(f"Picture: {picture}")
    say(f"Table: {table}")
