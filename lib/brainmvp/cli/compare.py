"""`brainmvp compare`: what has changed between two visits of one patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainmvp.cli.console import computing, print_json, print_table, say
from brainmvp.cli.options import BrainTool, Device, ModelOfTask, ServedTask
from brainmvp.cli.outputs import spare_scans
from brainmvp.cli.segment import load, run, warn_of_boxes
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.millilitres import written_change, written_ml

if TYPE_CHECKING:
    from brainmvp.comparison import Comparison


def compare(
    before: Annotated[Path, typer.Argument(help="The earlier visit's folder.")],
    after: Annotated[Path, typer.Argument(help="The later visit's folder, of the same patient.")],
    task: ServedTask,
    before_labels: Annotated[
        Path | None, typer.Option(help="A segmentation of the earlier visit; default: made now.")
    ] = None,
    after_labels: Annotated[
        Path | None, typer.Option(help="A segmentation of the later visit; default: made now.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the changes here (.json).")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw both visits here (.png).")] = None,
    model: ModelOfTask = None,
    device: Device = "auto",
    brain: BrainTool = "built-in",
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
) -> None:
    """Align two visits of one patient and report the change of each structure, in mL and per cent."""
    for option, path, suffix in (("--report", report, ".json"), ("--picture", picture, ".png")):
        if path and path.suffix.lower() != suffix:
            raise BrainMVPError(f"{option} {path} must end in {suffix}.")

    from brainmvp.comparison import Visit
    from brainmvp.comparison import compare as compare_visits
    from brainmvp.study import Study
    from brainmvp.tasks import get_task

    chosen = get_task(task)
    studies = [Study.from_folder(before), Study.from_folder(after)]
    for study in studies:
        spare_scans(study, {"--report": report, "--picture": picture})
    given = (before_labels, after_labels)
    segmenter = None if all(given) else load(task, model, device, brain)
    visits = []
    for study, labels in zip(studies, given, strict=True):
        if labels:
            visits.append(Visit.of_file(study, chosen, labels))
            continue
        visits.append(Visit.of_result(run(segmenter, study)))
    with computing(f"{before} and {after} could not be compared"):
        result = compare_visits(*visits, chosen)
    if report:
        write_json(report, result.report())
    if picture:
        result.save_picture(picture)
        warn_of_boxes("".join(study.id for study in studies))
    if as_json:
        print_json(result.report())
    else:
        _show(result)


def _show(result: "Comparison") -> None:
    for warning in result.warnings:
        say(f"Warning: {warning}")
    rows = [
        (c.name, written_ml(c.before_ml), written_ml(c.after_ml), written_change(c.change_ml), c.in_words)
        for c in result.changes
    ]
    columns = {
        "Structure": "left",
        "before, mL": "right",
        "after, mL": "right",
        "change, mL": "right",
        "change": "right",
    }
    print_table(f"{result.before.name}, then {result.after.name}: {result.interval}", columns, rows)
    for remark in result.remarks:
        say(f"  {remark}")
