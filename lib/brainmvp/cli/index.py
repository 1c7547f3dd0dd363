"""`brainmvp index`: one JSON file that describes a cohort."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainmvp.cli.console import print_table, progress_bar, say
from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from brainmvp.cohort import Index
    from brainmvp.tasks import Task


def index(
    folder: Annotated[
        Path,
        typer.Argument(
            help="BIDS tree, BrainMVP-16k, BraTS, ISLES or IXI folders, or one folder per PATIENT or PATIENT/DATE."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The index; default: FOLDER/index.json.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="What it is for (`brainmvp tasks`): a published data set is read in its own layout, and of a "
            "folder that was served the final labels of this task are taken."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV or TSV with columns subject, label and/or split (and session, dataset). Of a split, `pretrain` "
            "takes all; `finetune` keeps the test and draws the rest itself."
        ),
    ] = None,
    validation: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the patients held out for validation.")
    ] = 0.1,
    test: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the patients held out for the test.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the choice of held-out patients.")] = 0,
) -> None:
    """Describe a cohort: which file is which sequence of which visit of which patient, and who is held out.

    Files are named, not opened: `brainmvp prepare` reads them. Paths are kept relative, so that the folder can move.
    """
    from brainmvp.cohort.releases import index_release
    from brainmvp.cohort.scan import index_folder
    from brainmvp.cohort.tables import hold_out, with_table

    if validation + test > 0.9:
        raise BrainMVPError("--validation and --test leave less than a tenth to train on; lower them.")
    from brainmvp.tasks import get_task

    chosen = get_task(task) if task else None
    with progress_bar("Index") as tell:
        if chosen and chosen.data:
            cohort, notes = index_release(folder, chosen.data.layout, chosen)
        else:
            cohort, notes = index_folder(folder, lambda place: tell(place, 0.0), chosen)
    if table:
        cohort, more = with_table(cohort, table)
        notes += more
    cohort = hold_out(cohort, validation, test, seed)
    path = cohort.write(out or folder / "index.json")
    for note in notes:
        say(note)
    _show(cohort)
    if chosen:
        _show_use(cohort, chosen)
    counts = Counter(session.split for session in cohort.sessions)
    if chosen:  # `finetune` draws train and validation itself
        counts = {side: count for side, count in counts.items() if side == "test"}
    sides = ", ".join(f"{count} to {side}" for side, count in counts.items())
    say(f"{sides}{'. ' if sides else ''}Written: {path}")


def _show_use(cohort: "Index", task: "Task") -> None:
    """Say how much of a cohort a task can learn from, and what it cannot use, and why."""
    from brainmvp.cohort.cases import listed, usable

    sessions, reasons = usable(cohort, task)
    classes = Counter(session.label for session in sessions) if task.classes else {}
    each = f" ({', '.join(f'{key} {count}' for key, count in classes.items())})" if classes else ""
    count = (
        f"{len(sessions)} of {len(cohort.sessions)} visits, of {len({s.patient for s in sessions})} patients"
    )
    say(f"{task.name} can learn from {count}{each}.")
    for reason, ids in reasons.items():
        say(f"  not from {listed(ids)}: {reason}")


def _show(cohort: "Index") -> None:
    rows = []
    for name in sorted({session.dataset for session in cohort.sessions}):
        sessions = [session for session in cohort.sessions if session.dataset == name]
        sequences = Counter(sequence for session in sessions for sequence in session.sequences)
        labelled = sum(s.segmentation is not None or s.label is not None for s in sessions)
        cells = (len({s.patient for s in sessions}), len(sessions), labelled)
        rows.append((name, *map(str, cells), ", ".join(f"{s} {n}" for s, n in sorted(sequences.items()))))
    columns = {
        "Data set": "left",
        "Patients": "right",
        "Visits": "right",
        "Labelled": "right",
        "Sequences": "left",
    }
    print_table(None, columns, rows)
