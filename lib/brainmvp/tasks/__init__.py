"""The tasks as data: one JSON file each, read by one loader.

In this folder: the tasks that are served. In `downstream`: the ten tasks that the method was published with. A user's
own are read from `$BRAINMVP_HOME/tasks`.
"""

from brainmvp.tasks.files import downstream_names, get_task, own_folder, own_names, read_task, task_names
from brainmvp.tasks.recipe import PUBLISHED, Lesions, Recipe
from brainmvp.tasks.task import BRAIN, CATEGORY, Code, Label, Region, Task

__all__ = [
    "BRAIN",
    "CATEGORY",
    "PUBLISHED",
    "Code",
    "Label",
    "Lesions",
    "Recipe",
    "Region",
    "Task",
    "downstream_names",
    "get_task",
    "own_folder",
    "own_names",
    "read_task",
    "task_names",
]
