"""`brainmvp classify`: the probability of each class of a study."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import computing, print_json, print_table, progress_bar, say
from brainmvp.cli.doubts import say_doubts
from brainmvp.cli.options import BrainTool, Device, ModelOfTask


def classify(
    study: Annotated[Path, typer.Argument(help="A study's folder.")],
    task: Annotated[str, typer.Option(help="A classification task; see `brainmvp tasks list`.")],
    model: ModelOfTask = None,
    device: Device = "auto",
    brain: BrainTool = "built-in",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say how probable each class is. No model for it comes with BrainMVP: `brainmvp finetune` makes one."""
    from brainmvp.card import NOTICE
    from brainmvp.classify import StudyClassifier
    from brainmvp.study import Study

    found = Study.from_folder(study)
    with computing(f"{found.folder} could not be computed"), progress_bar(found.id) as tell:
        tell("classifying", 0.1)
        result = StudyClassifier.load(task, model, device, brain=brain).classify(found)
    if as_json:
        print_json(result.report())
        return
    names = {c.key: c.name for c in result.task.classes}
    rows = [(names[key], f"{value:.2f}") for key, value in result.probabilities.items()]
    print_table(f"{found.id}, {result.model}", {"Class": "left", "probability": "right"}, rows)
    say(f"  used {', '.join(result.used)}")
    for note in result.notes:
        say(f"  {note}")
    say("  not calibrated: such networks are, as a rule, surer than they are right")
    say_doubts(result.flagged, result.brain_doubt, result.filled)
    say(f"  {NOTICE}")
