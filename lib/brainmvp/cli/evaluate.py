"""`brainmvp evaluate`: how good is a model on labelled studies."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import print_json, print_table, progress_bar, say
from brainmvp.errors import BrainMVPError


def evaluate(
    task: Annotated[str, typer.Argument(help="A task's name; see `brainmvp tasks list`.")],
    index: Annotated[Path, typer.Argument(help="The cohort's index, made by `brainmvp index`.")],
    model: Annotated[str, typer.Option(help="NAME or NAME@VERSION.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures.")],
    against: Annotated[str | None, typer.Option(help="A second model, to test whether they differ.")] = None,
    split: Annotated[
        Path | None, typer.Option(help="The split; default: the one beside the index, if there is one.")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, help="Of a cross-validation, from 0.")] = 0,
    part: Annotated[
        str, typer.Option(help="test, validation, train or all; without a split: all that the index has.")
    ] = "test",
    missing: Annotated[bool, typer.Option("--missing", help="Also with every set of sequences.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score a model: overlap, distance, lesions and volumes, or accuracy, AUC and F1, with intervals.

    Leaves cases.csv, summary.md, summary.tex (beside the paper's row), calibration.png and, for a segmentation,
    cases.png with the best, middle and worst.
    """
    from brainmvp.cohort import Index
    from brainmvp.evaluation.report import evaluate as run
    from brainmvp.evaluation.tables import summary_rows
    from brainmvp.finetune.cohort import cases_of
    from brainmvp.finetune.split import PARTS, SplitFile, split_path
    from brainmvp.modelstore import ModelStore
    from brainmvp.tasks import get_task

    chosen, store = get_task(task), ModelStore()
    judged = store.resolve(model)
    other = store.resolve(against) if against else None
    if part not in (*PARTS, "all"):
        raise BrainMVPError(f"--part {part} is none of {', '.join(PARTS)} and all.")
    cases, notes = cases_of(Index.read(index), chosen)
    path = split or split_path(index, chosen)
    if part != "all" and (split is not None or path.is_file()):
        cases = SplitFile.read(path).parts(cases, fold, path)[part]
    if not cases:
        raise BrainMVPError(f"{path} has nobody in {part}; choose another --part.")
    for note in notes:
        say(note)
    with progress_bar(judged.card.id) as tell:
        summary = run(chosen, judged, cases, out, tell, device=device, against=other, missing=missing)
    for card in (judged.card, *([other.card] if other else [])):
        for side, what in (("train", "has trained on"), ("validation", "was chosen by")):
            seen = sorted({case.id for case in cases} & set(card.training.get(side, ())))
            if seen:
                say(f"Warning: {card.id} {what} {len(seen)} of these studies, such as {seen[0]}.")
    if as_json:
        print_json({r: {m: vars(v) for m, v in metrics.items()} for r, metrics in summary.items()})
        return
    heading, *rows = summary_rows(summary, chosen)
    print_table(f"{judged.card.id}, {len(cases)} studies", dict.fromkeys(heading, "left"), rows)
    if against or missing:
        say((out / "summary.md").read_text("utf-8").split("\n## ", 1)[1])
    say(f"Written: {out}")
