"""How many labels a strategy saves: read off the curves of a simulation, written and drawn."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from brainmvp.annotation.simulate import Curve
from brainmvp.evaluation.tables import write_csv
from brainmvp.files import atomically, write_json

TARGETS = (0.90, 0.95)


def mean_curve(curves: list[Curve]) -> tuple[list[int], np.ndarray]:
    """Return the numbers of labels and the mean Dice over the seeds at each."""
    return curves[0].labels, np.mean([curve.dice for curve in curves], axis=0)


def labels_needed(labels: list[int], dice: np.ndarray, target: float) -> float | None:
    """Return the number of labels at which a curve first reaches a Dice, between two points by interpolation.

    None if it never does.
    """
    for index, value in enumerate(dice):
        if value >= target:
            if index == 0 or dice[index - 1] >= target:
                return float(labels[index])
            share = (target - dice[index - 1]) / (value - dice[index - 1])
            return round(labels[index - 1] + float(share) * (labels[index] - labels[index - 1]), 1)
    return None


def summarise(curves: list[Curve], full: list[float], facts: dict[str, Any]) -> dict[str, Any]:
    """Return by strategy the labels needed for each share of the full-data Dice, of mean and single curves."""
    goal = float(np.mean(full))
    strategies = {}
    for name in dict.fromkeys(curve.strategy for curve in curves):
        own = [curve for curve in curves if curve.strategy == name]
        labels, dice = mean_curve(own)
        needed = {
            f"{target:.0%}": {
                "mean_curve": labels_needed(labels, dice, target * goal),
                "by_seed": [labels_needed(c.labels, np.array(c.dice), target * goal) for c in own],
            }
            for target in TARGETS
        }
        strategies[name] = {
            "labels_needed": needed,
            "labels": labels,
            "mean_dice": [round(float(value), 4) for value in dice],
            "mean_over_budgets": round(float(dice.mean()), 4),
        }
    return {
        **facts, "full_data_dice": round(goal, 4), "full_data_dice_by_seed": [round(v, 4) for v in full],
        "strategies": strategies,
    }  # fmt: skip


def write_simulation(folder: Path, curves: list[Curve], summary: dict[str, Any]) -> Path:
    """Write `simulation.json`, `curves.csv` and `simulation.png` into a folder; return the picture's path."""
    write_json(folder / "simulation.json", summary)
    rows = (
        {"strategy": curve.strategy, "seed": curve.seed, "labels": count, "dice": f"{dice:.4f}",
         "studies": " ".join(curve.order[:count])}
        for curve in curves
        for count, dice in zip(curve.labels, curve.dice, strict=True)
    )  # fmt: skip
    write_csv(folder / "curves.csv", rows)
    return _draw(folder / "simulation.png", curves, summary)


def _draw(path: Path, curves: list[Curve], summary: dict[str, Any]) -> Path:
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    goal = summary["full_data_dice"]
    axes.axhline(goal, color="0.3", linewidth=1)
    axes.annotate("all labels", (1.0, goal), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    if "start_dice" in summary:
        axes.axhline(summary["start_dice"], color="0.3", linewidth=1, linestyle="--")
        axes.annotate("served before", (1.0, summary["start_dice"]), xycoords=("axes fraction", "data"), ha="right",
                      va="bottom")  # fmt: skip
    for target in TARGETS:
        axes.axhline(target * goal, color="0.7", linewidth=0.8, linestyle=":")
        axes.annotate(f"{target:.0%}", (1.0, target * goal), xycoords=("axes fraction", "data"), ha="right",
                      va="bottom", color="0.5", fontsize=8)  # fmt: skip
    for number, name in enumerate(summary["strategies"]):
        own = [curve for curve in curves if curve.strategy == name]
        labels, dice = mean_curve(own)
        axes.plot(labels, dice, color=f"C{number}", marker="o", markersize=4, label=name)
        every = np.array([curve.dice for curve in own])
        axes.fill_between(labels, every.min(0), every.max(0), color=f"C{number}", alpha=0.07, linewidth=0)
    axes.set(xlabel="labelled studies", ylabel="test Dice, mean over the regions", xticks=curves[0].labels)
    seeds = len({curve.seed for curve in curves})
    axes.set_title(f"{summary['task']}: mean and range, seeds: {seeds}", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
    return path
