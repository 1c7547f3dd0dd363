"""The data files of the tasks: where they lie, and how one is read."""

import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from brainmvp.errors import BrainMVPError
from brainmvp.home import home
from brainmvp.tasks.task import Task


def task_names() -> list[str]:
    """Return the names of the tasks that are served, with built-in models."""
    return sorted(_stem(file) for file in _files(_package()))


def downstream_names() -> list[str]:
    """Return the names of the method's ten published tasks."""
    return sorted(_stem(file) for file in _files(_package() / "downstream"))


def own_names() -> list[str]:
    """Return the names of the tasks whose data files lie in `own_folder()`."""
    return sorted(_stem(file) for file in _files(own_folder()))


def own_folder() -> Path:
    """Return where a user's own tasks are kept: `$BRAINMVP_HOME/tasks`, one JSON file each."""
    return home() / "tasks"


def get_task(name: str) -> Task:
    """Return a task by name; raises `BrainMVPError` listing the known ones, or saying what is wrong with its file."""
    places = {task_names: _package(), downstream_names: _package() / "downstream", own_names: own_folder()}
    for names, folder in places.items():
        if name in names():
            return read_task((folder / f"{name}.json").read_text("utf-8"), f"{name}.json")
    known = ", ".join(name for names in places for name in names())
    raise BrainMVPError(f"There is no task named '{name}'; the tasks are {known}.")


@cache
def read_task(text: str, source: str) -> Task:
    """Return the task of a data file's text; raises `BrainMVPError` naming `source`.

    `"extends": NAME` takes what the file does not say from another task, within its split, recipe and lesions too, but
    not its data set and its published numbers.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        base = content.pop("extends", None)
        if base == _stem(Path(source)):
            raise BrainMVPError(f"{source} extends itself; name another task in it, or none.")
        inherited = (
            get_task(base).model_dump(exclude_unset=True, exclude={"data", "published"}) if base else {}
        )
        for part in ("split", "recipe", "lesions"):
            if isinstance(content.get(part), dict):
                content[part] = {**inherited.get(part, {}), **content[part]}
        task = Task.model_validate({**inherited, **content})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BrainMVPError(f"{source} is no task ({place}: {first['msg']}); correct it.") from error
    except BrainMVPError:
        raise
    except RecursionError as error:
        raise BrainMVPError(f"{source} extends a task that extends it; end the circle.") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise BrainMVPError(f"{source} is no task ({error}); write a JSON object.") from error
    if task.name != _stem(Path(source)):
        raise BrainMVPError(f"{source} holds the task '{task.name}'; name the file {task.name}.json.")
    return task


def _package() -> Traversable:
    return resources.files(__package__)


def _files(folder: Traversable) -> list[Traversable]:
    return [file for file in folder.iterdir() if file.name.endswith(".json")] if folder.is_dir() else []


def _stem(file: Traversable) -> str:
    return file.name.removesuffix(".json")
