"""`brainmvp tasks`: what can be learned, served or not, and how a hospital adds one."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import Group, print_json, print_table, say
from brainmvp.cli.facts import lines_of, say_part
from brainmvp.cli.options import AsJson
from brainmvp.files import write_text

app = typer.Typer(cls=Group, help="List, show and add tasks.", no_args_is_help=True)


@app.command("list")
def list_tasks(as_json: AsJson = False) -> None:
    """List the served tasks, the ten published ones, and your own."""
    from brainmvp.tasks import downstream_names, get_task, own_folder, own_names, task_names

    groups = {"served": task_names(), "published": downstream_names(), "own": own_names()}
    tasks = [(group, get_task(name)) for group, names in groups.items() for name in names]
    if as_json:
        print_json([{"group": group, **task.model_dump(mode="json")} for group, task in tasks])
        return
    rows = [
        (task.name, task.kind, ", ".join(task.sequences), ", ".join(task.outputs), group)
        for group, task in tasks
    ]
    columns = dict.fromkeys(("Task", "Kind", "Sequences", "Finds", ""), "left")
    print_table(None, columns, rows)
    say(f"Own tasks are kept in {own_folder()}; `brainmvp tasks add FILE` checks one and puts it there.")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="TASK")], as_json: AsJson = False) -> None:
    """Print what a task takes and finds, and how it is learned and judged; --json: the fields of its file."""
    from brainmvp.tasks import get_task

    task = get_task(name)
    if as_json:
        print_json(task.model_dump(mode="json"))
        return
    say(f"{task.name}: {task.title}")
    say_part("Takes", [f"{', '.join(task.sequences)}; at least {task.needed}"])
    requires = {
        region.name: f"; needs {' and '.join(region.requires)}" for region in task.regions if region.requires
    }
    say_part("Finds", (f"{key}: {title}{requires.get(key, '')}" for key, title in task.titles.items()))
    say_part("Labels", (f"{label.value}: {label.name}" for label in task.labels))
    if task.data:
        say_part("Data set", [f"{task.data.name}, {task.data.url}", task.data.citation, *task.data.notes])
    learned = task.model_dump(mode="json", include={"split", "recipe"})
    say_part("Learned", lines_of(learned))
    say_part("Judged by", [", ".join(task.metrics)] if task.metrics else [])
    say_part(
        "Published",
        (
            f"{result.metric}, {result.region}: {result.value:g} ({result.source}"
            f"{', second-hand' if result.second_hand else ''})"
            for result in task.published
        ),
    )


@app.command()
def add(file: Annotated[Path, typer.Argument(help="A task's data file, NAME.json.")]) -> None:
    """Check a task's data file and keep it, so that every command knows the task by its name.

    A file of that name that was added before is replaced.
    """
    from brainmvp.errors import BrainMVPError
    from brainmvp.tasks import downstream_names, own_folder, read_task, task_names

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrainMVPError(f"{file} cannot be read ({error}); check the path.") from error
    task = read_task(text, file.name)
    if task.name in (*task_names(), *downstream_names()):
        raise BrainMVPError(
            f"{file} holds the task '{task.name}', which comes with BrainMVP; choose another name."
        )
    target = own_folder() / f"{task.name}.json"
    replaced = " in place of the one before" if target.exists() else ""
    write_text(target, text)
    say(f"{task.name}: {task.title}. Kept as {target}{replaced}")
