"""The downstream tasks as data: one JSON file each in this folder, read by one loader."""

from brainmvp.tasks.task import Code, Label, Region, Task, get_task, task_names

__all__ = ["Code", "Label", "Region", "Task", "get_task", "task_names"]
