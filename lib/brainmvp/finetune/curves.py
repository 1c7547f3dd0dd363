"""The pictures of a run: its curves, and some of the cases that chose the best weights as these see them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from brainmvp.evaluation.page import Row, draw_page, widest_slice
from brainmvp.files import atomically
from brainmvp.finetune.prepared import PreparedCase
from brainmvp.finetune.problem import Problem
from brainmvp.tasks import Task

_EXAMPLES = 4


def draw_curves(history: list[dict[str, Any]], best: int, chooser: str, path: Path) -> None:
    """Draw the loss and the learning rate, and the scores, by epoch.

    best: the epoch of the best weights; chooser: the part of the split that chooses them.
    """
    if not history:
        return
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in history]
    left.plot(epochs, [record["loss"] for record in history], color="C0", marker="o", markersize=2)
    left.set(xlabel="epoch", ylabel="training loss")
    rate = left.twinx()
    rate.plot(epochs, [record["lr"] for record in history], color="0.7", linewidth=1)
    rate.set_ylabel("learning rate", color="0.5")
    scored = [record for record in history if "scores" in record]
    for name in dict.fromkeys(name for record in scored for name in record["scores"]):
        points = [(record["epoch"], record["scores"].get(name)) for record in scored]
        right.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    if scored:
        right.axvline(best, color="0.8", linewidth=1, zorder=0)
        right.legend(frameon=False)
    right.set(xlabel="epoch", ylabel=chooser, ylim=(0, 1))
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))


@torch.inference_mode()
def draw_examples(
    task: Task, network: nn.Module, problem: Problem, cases: list[PreparedCase], path: Path, heading: str
) -> None:
    """Draw some cases, evenly chosen, with what is there and what the network finds."""
    network.eval()
    chosen = [cases[i] for i in sorted({round(x) for x in np.linspace(0, len(cases) - 1, _EXAMPLES)})]
    rows = []
    for case in chosen:
        channel = int(np.flatnonzero(case.shown)[0])
        if task.kind == "classification":
            probabilities = problem.predict(network, case)
            said = ", ".join(f"{c.key} {p:.2f}" for c, p in zip(task.classes, probabilities, strict=True))
            middle = case.images.shape[3] // 2
            title = f"{case.id}\nis {task.classes[case.target].key}: {said}"
            rows.append(Row(title, case.images[channel, :, :, middle].astype(np.float32)))
            continue
        found = problem.found(network, case)
        labels = np.asarray(case.labels)
        z = widest_slice(labels)
        rows.append(
            Row(
                case.id,
                case.images[channel, :, :, z].astype(np.float32),
                labels[:, :, z],
                found[:, :, z],
            )
        )
    draw_page(task, rows, path, heading)
