"""`brainmvp prepare`: preprocess a cohort once, for pretraining."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import BAD_INPUT, complain, progress_bar, say
from brainmvp.errors import BrainMVPError


def prepare(
    index: Annotated[Path, typer.Argument(help="The cohort's index, of `brainmvp index`.")],
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the prepared studies; default: beside the index.")
    ] = None,
    spacing: Annotated[float, typer.Option(min=0.5, max=8, help="Of the voxels, mm.")] = 1.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this computer; default: one per core, at most 8.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler instead, such as tcp://node01:8786.")
    ] = None,
) -> None:
    """Read every series once and keep it as training sees it: RAS, 1 mm, cropped, scaled, compressed.

    Can be stopped at any time: the same command goes on with what is not done. A file that cannot be used is
    reported in one line at the end, with exit code 2; all others are prepared.
    """
    from brainmvp.cli.parts import pretraining
    from brainmvp.cohort import Index

    work, caches = pretraining("data.prepare"), pretraining("data.cache")
    problems: list[str] = []
    cohort = Index.read(index, on_error=problems.append)
    store = caches.Cache(cache or work.default_cache(index), spacing)
    with progress_bar("Prepare") as tell, work.cluster(workers or work.default_workers(), cluster) as client:
        problems += work.prepare_cohort(cohort, store, client, tell)
    say(f"{len(cohort.sessions)} studies in {store.folder}, {len(problems)} problem(s).")
    for problem in problems:
        complain(BrainMVPError(problem))
    if problems:
        raise typer.Exit(BAD_INPUT)
