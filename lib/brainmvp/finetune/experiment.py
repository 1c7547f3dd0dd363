"""Many runs on one split: what labels, pretraining and networks are worth, on the test part."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from brainmvp.case import Case, labels_digest
from brainmvp.classify import StudyClassifier
from brainmvp.errors import BrainMVPError
from brainmvp.evaluation.classes import METRICS, answer_cases
from brainmvp.evaluation.classification import classification_metrics
from brainmvp.evaluation.regions import by_patient
from brainmvp.evaluation.segmentation import CaseScore, score_cases
from brainmvp.evaluation.statistics import patient_means
from brainmvp.evaluation.tables import markdown, write_csv
from brainmvp.files import atomically, write_json, write_text
from brainmvp.finetune.loop import facts, finetune
from brainmvp.finetune.result import duration
from brainmvp.finetune.split import fraction_of
from brainmvp.modelstore import Model, write_model
from brainmvp.segment import Segmenter
from brainmvp.stop import Stop, StoppedError
from brainmvp.tasks import Recipe, Task

Tell = Callable[[str, float], None]
Row = dict[str, Any]
# What a finished run was found to be worth, in its folder.
_TESTED = "test.json"


@dataclass(frozen=True)
class Variant:
    """What is compared: a start or a network from scratch; fresh: the start's network and grid without its weights.

    recipe: its own, where starts have grids of their own; else that of the experiment.
    """

    name: str
    start: Model | None
    network: str | None
    fresh: bool = False
    recipe: Recipe | None = None


def run_experiment(
    task: Task,
    parts: dict[str, list[Case]],
    variants: list[Variant],
    fractions: list[float],
    seeds: list[int],
    recipe: Recipe,
    out: Path,
    tell: Tell,
    stop: Stop,
    *,
    cache: Path,
    device: str = "auto",
    workers: int = 2,
) -> list[Row] | None:
    """Fine-tune every variant on every share of the training patients with every seed, and test each once.

    Writes `runs.csv`, `summary.md` and, for several shares, `curve.png`. The same call goes on from what is in `out`:
    what is trained and tested is not so again, but tested again where a label of the test was changed. None: it was
    stopped. cache: where prepared studies are kept.
    Raises `BrainMVPError` if there is nobody to test on, or a run in `out` learned from other labels.
    """
    if not parts["test"]:
        raise BrainMVPError(
            "The split has nobody in test, and runs are compared there; give --split another file to draw one with a "
            "test, or put patients there."
        )
    plan = [(variant, share, seed) for variant in variants for share in fractions for seed in seeds]
    choosers = parts[recipe.chooser]
    rows: list[Row] = []
    clock = _Clock(len(plan))
    for variant, share, seed in plan:
        said = f"run {len(rows) + 1} of {len(plan)}, {variant.name}, {share:.0%} of the labels, seed {seed}"
        changes = {"seed": seed} | ({"network": variant.network} if variant.network else {})
        own = (variant.recipe or recipe).model_copy(update=changes)
        train = fraction_of(parts["train"], share, seed)
        folder = out / f"{_slug(variant.name)}-{share:g}-{seed}"
        test = {
            "run": facts(task, train, choosers, variant.start, own, variant.fresh),
            "cases": [case.id for case in parts["test"]],
            "labels": labels_digest(parts["test"]),
        }
        tested = _tested(folder, test)
        if tested is None:

            def preparing(done: int, total: int, said: str = said) -> None:
                stop.check()
                tell(*clock.told(f"{said}: preparing {done}/{total}", 0.0))

            try:
                result = finetune(
                    task, train, choosers, variant.start, own, folder, device=device, cache=cache,
                    workers=workers, fresh=variant.fresh, preparing=preparing,
                    should_stop=lambda: stop.signal is not None,
                    progress=lambda p, s=said: tell(*clock.told(f"{s}: epoch {p.epoch}/{p.epochs}", p.share)),
                )  # fmt: skip
            except StoppedError:
                return None
            if not result.finished:
                return None
            tell(*clock.told(f"{said}: testing", 1.0))
            model = write_model(result.card, result.weights, folder)
            tested = _test(task, model, parts["test"], device)
            tested |= {"training_s": result.history[-1]["seconds"]}
            write_json(folder / _TESTED, test | {"row": tested})
            clock.ran()
        else:
            clock.skipped()
        rows.append(
            {"variant": variant.name, "fraction": share, "seed": seed, "studies": len(train), **tested}
        )
        _write(task, rows, out, len(parts["test"]))
    return rows


def _write(task: Task, rows: list[Row], out: Path, studies: int) -> None:
    """Write what is known so far: a stopped experiment has its tables and its curve, too."""
    write_csv(out / "runs.csv", rows)
    metrics = [name for name in rows[0] if name.startswith(("dice", "hd95")) or name in METRICS]
    table = summary_table(rows, metrics)
    write_text(out / "summary.md", f"# {task.title}: {studies} test studies\n\n{markdown(table)}")
    if len({row["fraction"] for row in rows}) > 1:
        draw_efficiency(task, rows, out / "curve.png")


def _tested(folder: Path, test: dict[str, Any]) -> Row | None:
    """Return what an earlier call measured, or None if it was another run or test; test: JSON-ready, what is tested."""
    try:
        known = json.loads((folder / _TESTED).read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # not yet, or cut short as the power went
        return None
    return known["row"] if {key: known.get(key) for key in test} == test else None


class _Clock:
    """How far many runs of about the same length are; runs of an earlier call are not counted in."""

    def __init__(self, runs: int) -> None:
        self._begin, self._left, self._done, self._runs = time.perf_counter(), runs, 0, runs

    def told(self, text: str, share: float) -> tuple[str, float]:
        """Return a line with the remaining time, and the share of all runs that is done."""
        done = self._done + share
        left = (time.perf_counter() - self._begin) / done * (self._left - share) if done > 0 else None
        return f"{text}, {duration(left)} left" if left else text, (
            self._runs - self._left + share
        ) / self._runs

    def ran(self) -> None:
        self._left, self._done = self._left - 1, self._done + 1

    def skipped(self) -> None:
        self._left -= 1


def summary_table(rows: list[Row], metrics: list[str]) -> list[list[str]]:
    """Return heading and one row per variant and share: mean and sample standard deviation over the seeds."""
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
        means, spreads = (
            [np.mean(v) for v in values],
            [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values],
        )
        axis.errorbar([100 * s for s in shares], means, spreads, marker="o", capsize=3, label=name)
    axis.set(xlabel="labelled training patients, %", ylabel=f"test {metric}", title=task.title)
    axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    atomically(path, lambda temporary: figure.savefig(temporary, dpi=130, format="png"))


def _test(task: Task, model: Model, cases: list[Case], device: str) -> Row:
    """Return the test scores, the seconds per study and the number of parameters."""
    if task.kind == "classification":
        classifier = StudyClassifier(model, device)
        began = time.perf_counter()
        answers = answer_cases([(classifier, case) for case in cases], lambda *_: None)
        scores = classification_metrics(answers.probabilities, answers.targets, answers.patients)
        seconds = (time.perf_counter() - began) / len(cases)
    else:
        segmenter = Segmenter(model, device)
        studies = score_cases(task, [(segmenter, case) for case in cases], lambda *_: None, pictures=False)
        scores = _overlaps(task, studies)
        seconds = float(np.mean([study.seconds for study in studies]))
    parameters = sum(p.numel() for p in model.load_network().parameters())
    return scores | {"inference_s": seconds, "parameters": parameters}


def _overlaps(task: Task, studies: list[CaseScore]) -> dict[str, float]:
    """Return the mean Dice, that of each region if there are several, and the mean HD95, each patient once."""

    def mean(region: str, metric: str) -> float:
        return float(np.mean(patient_means(by_patient(studies, region, metric))))

    shown = [region for region in task.outputs if any(region in s.regions for s in studies)]
    regions = {} if len(shown) == 1 else {f"dice {region}": mean(region, "dice") for region in shown}
    return {"dice": mean("mean", "dice"), **regions, "hd95": mean("mean", "hd95")}


def _spread(values: list[float], digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
