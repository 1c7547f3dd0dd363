"""Many runs on one split: what labels, pretraining and networks are worth, on the test part."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from brainmvp.case import Case
from brainmvp.classify import StudyClassifier
from brainmvp.evaluation.classes import answer_cases
from brainmvp.evaluation.classification import classification_metrics
from brainmvp.evaluation.segmentation import score_cases
from brainmvp.evaluation.tables import markdown, write_csv
from brainmvp.files import atomically, write_text
from brainmvp.finetune.loop import finetune
from brainmvp.finetune.split import fraction_of
from brainmvp.modelstore import Model, write_model
from brainmvp.segment import Segmenter
from brainmvp.tasks import Recipe, Task

Tell = Callable[[str, float], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """What is compared: a start or a network from scratch; fresh: the start's network and grid without its weights."""

    name: str
    start: Model | None
    network: str | None
    fresh: bool = False


def run_experiment(
    task: Task,
    parts: dict[str, list[Case]],
    variants: list[Variant],
    fractions: list[float],
    seeds: list[int],
    recipe: Recipe,
    out: Path,
    tell: Tell,
    *,
    device: str = "auto",
    workers: int = 2,
) -> list[Row]:
    """Fine-tune every variant on every share of the training patients with every seed, and test each once.

    Writes `runs.csv`, `summary.md` and, for several shares, `curve.png`. A run that is finished is not run again.
    """
    plan = [(variant, share, seed) for variant in variants for share in fractions for seed in seeds]
    rows = []
    for number, (variant, share, seed) in enumerate(plan):
        said = f"{variant.name}, {share:.0%} of the labels, seed {seed}"
        tell(said, number / len(plan))
        own = recipe.model_copy(
            update={"seed": seed, **({"network": variant.network} if variant.network else {})}
        )
        train = fraction_of(parts["train"], share, seed)
        folder = out / f"{_slug(variant.name)}-{share:g}-{seed}"
        result = finetune(
            task, train, parts["validation"], variant.start, own, folder, device=device, cache=out / "prepared",
            workers=workers, fresh=variant.fresh,
            progress=lambda p, n=number, s=said: tell(
                f"{s}: epoch {p.epoch}", (n + (p.epoch - 1) / p.epochs) / len(plan)
            ),
        )  # fmt: skip
        trained = result.history[-1]["seconds"]
        write_model(result.card, result.weights, folder)
        model = Model(result.card, folder)
        scores, seconds = _test(task, model, parts["test"], device)
        rows.append(
            {
                "variant": variant.name, "fraction": share, "seed": seed, "studies": len(train), **scores,
                "training_s": trained, "inference_s": seconds,
                "parameters": sum(p.numel() for p in model.load_network().parameters()),
            }
        )  # fmt: skip
        write_csv(out / "runs.csv", rows)
    table = summary_table(rows, list(scores))
    write_text(out / "summary.md", f"# {task.title}: {len(parts['test'])} test studies\n\n{markdown(table)}")
    if len(fractions) > 1:
        draw_efficiency(task, rows, out / "curve.png")
    return rows


def summary_table(rows: list[Row], metrics: list[str]) -> list[list[str]]:
    """Return heading and one row per variant and share: mean and standard deviation over the seeds."""
    table = [
        ["", "labels", "studies", *metrics, "training, s", "inference, s per study", "parameters, million"]
    ]
    for key in dict.fromkeys((row["variant"], row["fraction"]) for row in rows):
        own = [row for row in rows if (row["variant"], row["fraction"]) == key]
        table.append(
            [
                key[0],
                f"{key[1]:.0%}",
                f"{np.mean([row['studies'] for row in own]):g}",
                *(_spread([row[metric] for row in own], 4) for metric in metrics),
                _spread([row["training_s"] for row in own], 1),
                _spread([row["inference_s"] for row in own], 2),
                f"{own[0]['parameters'] / 1e6:.2f}",
            ]
        )
    return table


def draw_efficiency(task: Task, rows: list[Row], path: Path) -> None:
    """Draw the score against the share of the labels, one line per variant with its spread over the seeds."""
    metric = "auc" if task.kind == "classification" else "dice"
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        shares = sorted({row["fraction"] for row in own})
        values = [[row[metric] for row in own if row["fraction"] == share] for share in shares]
        means, spreads = [np.mean(v) for v in values], [np.std(v) for v in values]
        axis.errorbar([100 * s for s in shares], means, spreads, marker="o", capsize=3, label=name)
    axis.set(xlabel="labelled training patients, %", ylabel=f"test {metric}", title=task.title)
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=130, format="png"))


def _test(task: Task, model: Model, cases: list[Case], device: str) -> tuple[dict[str, float], float]:
    """Return the test scores and the seconds per study."""
    began = time.perf_counter()
    if task.kind == "classification":
        answers = answer_cases(StudyClassifier(model, device), cases, lambda *_: None)
        seconds = (time.perf_counter() - began) / len(cases)
        return classification_metrics(answers.probabilities, answers.targets, answers.patients), seconds
    scores = score_cases(Segmenter(model, device), cases, lambda *_: None)
    by_region = {
        region: float(np.mean([s.regions[region]["dice"] for s in scores if region in s.regions]))
        for region in task.outputs
        if any(region in s.regions for s in scores)
    }
    regions = {} if len(by_region) == 1 else {f"dice {name}": value for name, value in by_region.items()}
    mean_hd95 = float(np.mean([m["hd95"] for s in scores for m in s.regions.values()]))
    seconds = float(np.mean([s.seconds for s in scores]))
    return {"dice": float(np.mean(list(by_region.values()))), **regions, "hd95": mean_hd95}, seconds


def _spread(values: list[float], digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values):.{digits}f}"


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
