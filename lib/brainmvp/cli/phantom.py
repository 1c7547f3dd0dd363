"""`brainmvp phantom`: made-up patients with exact labels, or a page of them to look at."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import progress_bar, say
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the studies.")],
    subjects: Annotated[int, typer.Option(min=1, help="Patients per task.")] = 1,
    tasks: Annotated[str, typer.Option(help="Names with commas between.")] = "tumour,stroke",
    seed: Annotated[int, typer.Option(min=0, help="Of the first patient; the next ones count up.")] = 0,
    difficulty: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="0: clear pictures; 1: everything. Default: 0.3; 1 for a page, as models learn.",
        ),
    ] = None,
    own_grids: Annotated[
        bool,
        typer.Option(
            "--own-grids", help="Each sequence on an oblique grid of its own, some with thick slices."
        ),
    ] = False,
    sequences: Annotated[
        str | None,
        typer.Option(help="all eight, or names with commas between; else what patients usually bring."),
    ] = None,
    spacing: Annotated[int, typer.Option(min=1, max=8, help="Voxels of the studies, mm.")] = 1,
    patients: Annotated[
        Path | None,
        typer.Option(help="Folder of real brains to start from besides the atlas, as for train-builtin."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Draw a page per task (preview-TASK.png) and write no study.")
    ] = False,
) -> None:
    """Make synthetic studies with labels, of any of the eight sequences.

    The same seed, spacing, difficulty and real brains give the same patient. Some are healthy, and some have the other
    task's disease, unlabelled.
    """
    from brainmvp.phantom.anatomy import load_anatomies
    from brainmvp.phantom.grid import BrainGrid
    from brainmvp.phantom.write import USUAL_SEQUENCES, make_study
    from brainmvp.tasks import get_task

    names = [get_task(name.strip()).name for name in tasks.split(",")]
    unmade = [name for name in names if name not in USUAL_SEQUENCES]
    if unmade:
        raise BrainMVPError(
            f"Made-up brains have no {unmade[0]}; the tasks are {', '.join(USUAL_SEQUENCES)}."
        )
    wanted = None if sequences is None else _named(sequences)
    if difficulty is None:
        difficulty = 1.0 if preview else 0.3
    if preview and (own_grids or spacing != 1):
        raise BrainMVPError(
            "--own-grids and --spacing are of studies; a page shows the 2 mm grid that models learn on."
        )
    studies = [f"{name}-{seed + subject:04d}" for name in names for subject in range(subjects)]
    taken = [] if preview else [study for study in studies if (out / study).exists()]
    if taken:
        raise BrainMVPError(
            f"{out / taken[0]} is there already; choose another folder or another --seed. Nothing was written."
        )
    anatomies = load_anatomies(BrainGrid().spacing if preview else spacing, patients)
    with progress_bar("Phantoms") as tell:
        for number, name in enumerate(names):
            if preview:
                from brainmvp.phantom.preview import draw_preview

                tell(f"page of {name}", number / len(names))
                draw_preview(
                    out / f"preview-{name}.png", name, count=subjects, first_seed=seed,
                    difficulty=difficulty, anatomies=anatomies, sequences=wanted or tuple(Sequence),
                )  # fmt: skip
                continue
            for subject in range(subjects):
                study = f"{name}-{seed + subject:04d}"
                tell(study, (number + subject / subjects) / len(names))
                make_study(
                    out / study, seed + subject, name, sequences=wanted, difficulty=difficulty, anatomies=anatomies,
                    own_grids=own_grids, spacing=spacing,
                )  # fmt: skip
    made = f"{len(names)} page(s)" if preview else f"{len(names) * subjects} studies"
    say(f"{made} in {out}")


def _named(text: str) -> tuple[Sequence, ...]:
    """Return the sequences of `all`, or of names with commas between."""
    if text.strip().lower() == "all":
        return tuple(Sequence)
    names = [name.strip().upper() for name in text.split(",")]
    unknown = [name for name in names if name not in Sequence.__members__]
    if unknown:
        raise BrainMVPError(f"There is no sequence '{unknown[0]}'; the sequences are {', '.join(Sequence)}.")
    return tuple(Sequence(name) for name in names)
