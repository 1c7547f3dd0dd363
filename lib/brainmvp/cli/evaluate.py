"""`brainmvp evaluate`: how good is a model on labelled studies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainmvp.cli.console import print_json, print_table, progress_bar, say, warn
from brainmvp.cli.options import Device
from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from brainmvp.case import Case
    from brainmvp.evaluation.turns import Turn
    from brainmvp.finetune.split import SplitFile
    from brainmvp.modelstore import Model, ModelStore


def evaluate(
    task: Annotated[str, typer.Argument(help="A task's name; see `brainmvp tasks list`.")],
    index: Annotated[Path, typer.Argument(help="The cohort's index, made by `brainmvp index`.")],
    model: Annotated[
        str,
        typer.Option(
            help="NAME or NAME@VERSION; or with commas those of a cross-validation, one of each fold."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures.")],
    against: Annotated[
        str | None, typer.Option(help="A second model, or cross-validation, to test whether they differ.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="The split; default: the one beside the index, if there is one.")
    ] = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Of a cross-validation, from 0; default: the model's own.")
    ] = None,
    part: Annotated[
        str, typer.Option(help="test, validation, train or all; without a split: all that the index has.")
    ] = "test",
    missing: Annotated[bool, typer.Option("--missing", help="Also with every set of sequences.")] = False,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score a model: overlap, distance, lesions and volumes, or accuracy, AUC and F1, with intervals.

    Given the models of all folds of a cross-validation, each patient is scored by the one that did not see them, and
    one table sums up all patients. Leaves cases.csv, summary.md, summary.tex (beside the paper's row),
    calibration.png and, for a segmentation, cases.png with the best, middle and worst.
    """
    from brainmvp.cohort import Index
    from brainmvp.cohort.cases import cases_of
    from brainmvp.evaluation.report import evaluate as run
    from brainmvp.evaluation.tables import summary_rows
    from brainmvp.evaluation.turns import check_fits, check_untaught, names
    from brainmvp.finetune.split import PARTS, SplitFile, split_path
    from brainmvp.modelstore import ModelStore
    from brainmvp.tasks import get_task

    chosen, store = get_task(task), ModelStore()
    judged = [store.resolve(name.strip()) for name in model.split(",")]
    others = [store.resolve(name.strip()) for name in against.split(",")] if against else []
    for one in (*judged, *others):
        check_fits(one, chosen)
    if part not in (*PARTS, "all"):
        raise BrainMVPError(f"--part {part} is none of {', '.join(PARTS)} and all.")
    cases, notes = cases_of(Index.read(index), chosen)
    path = split or split_path(index, chosen)
    drawn = SplitFile.read(path, chosen.name) if part != "all" and (split or path.is_file()) else None
    turns = _turns(judged, cases, drawn, path, fold, part)
    rivals = _rivals(others, turns, cases, drawn, path) if others else None
    for note in notes:
        warn(note)
    if drawn and part == "test":
        remedy = "choose --part all to score it all the same"
        if len(turns) > 1:
            remedy = "fine-tune that fold from another start"
        elif fold is not None:
            remedy = "leave --fold out to test it on its own fold"
        check_untaught([*turns, *(rivals or ())], cases, store, remedy)
    with progress_bar(names(turns)) as tell:
        summary = run(chosen, turns, out, tell, device=device, against=rivals, missing=missing)
    for turn in (*turns, *(rivals or ())):
        _tell_seen(turn, cases, store)
    if as_json:
        print_json({r: {m: vars(v) for m, v in metrics.items()} for r, metrics in summary.items()})
        return
    heading, *rows = summary_rows(summary, chosen)
    count = sum(len(turn.cases) for turn in turns)
    print_table(f"{names(turns)}, {count} studies", dict.fromkeys(heading, "left"), rows)
    written = (out / "summary.md").read_text("utf-8")
    if "\n## " in written:
        say(written.split("\n## ", 1)[1])
    say(f"Written: {out}")


def _turns(
    models: "list[Model]",
    cases: "list[Case]",
    drawn: "SplitFile | None",
    path: Path,
    fold: int | None,
    part: str,
) -> "list[Turn]":
    """Return which model is tested on which cases."""
    from brainmvp.evaluation.turns import Turn
    from brainmvp.finetune.folds import fold_of, turns_by_fold

    if len(models) > 1:
        if drawn is None or part != "test" or fold is not None:
            raise BrainMVPError(
                "Several models are tested as a cross-validation, each by its own fold: give its --split, and neither "
                "--fold nor --part."
            )
        return turns_by_fold(models, drawn, path, cases)
    if drawn is None and fold is not None:
        why = f"{path} is not there; give --split, or leave --fold out"
        if part == "all":
            why = "--part all scores everybody; leave one of them out"
        raise BrainMVPError(f"--fold {fold} is of a split, and {why}.")
    if drawn is None:
        if part != "all":
            warn(
                f"{path} is not there, so all {len(cases)} studies of the index are scored, whatever their part."
            )
        return [Turn(models[0], cases)]
    number = (fold_of(models[0], drawn, cases) or 0) if fold is None else fold
    if len(drawn.folds) > 1:
        warn(f"this is fold {number} of {len(drawn.folds)} of {path}.")
    tested = drawn.parts(cases, number, path)[part]
    if not tested:
        raise BrainMVPError(f"{path} has nobody in {part}; choose another --part.")
    return [Turn(models[0], tested)]


def _rivals(
    models: "list[Model]", turns: "list[Turn]", cases: "list[Case]", drawn: "SplitFile | None", path: Path
) -> "list[Turn]":
    """Return what the turns are compared with: one model for all cases, or that of each fold."""
    from brainmvp.evaluation.turns import Turn
    from brainmvp.finetune.folds import turns_by_fold

    if len(models) == 1:
        return [Turn(models[0], [case for turn in turns for case in turn.cases])]
    if len(turns) == 1:
        raise BrainMVPError("--against has several models and --model has one; give as many to compare.")
    return turns_by_fold(models, drawn, path, cases)


def _tell_seen(turn: "Turn", cases: "list[Case]", store: "ModelStore") -> None:
    """Say whom of its test a model has seen, and so scores too well, or may have seen under another name."""
    from brainmvp.evaluation.turns import taught, taught_by_others

    sides = {"train": "has learned from", "validation": "was chosen by", "scans": "has seen scans of"}
    for side, what in sides.items():
        seen = taught(turn.model, turn.cases, cases, store, side)
        if seen:
            patient, version = next(iter(seen.items()))
            start = "" if version == turn.model.card.id else f"the start of {turn.model.card.id}, "
            count = f"{len(seen)} of these patients"
            warn(
                f"{start}{version} {what} {count}, such as {patient}; their scores say nothing of new patients."
            )
    for version, count in taught_by_others(turn.model, cases, store).items():
        studies = "1 study" if count == 1 else f"{count} studies"
        warn(
            f"{version} has learned from {studies} of other names than this index has; if the patients are the same, "
            "in a folder that was renamed, their scores say nothing of new ones."
        )
