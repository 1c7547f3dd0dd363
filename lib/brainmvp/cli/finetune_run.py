"""The trainings of `brainmvp finetune`: of one fold or all, or many to compare; and what is said of each."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainmvp.cli.console import progress_bar, say, warn
from brainmvp.cli.keeping import keep_once

if TYPE_CHECKING:
    from brainmvp.case import Case
    from brainmvp.finetune import FineTuned, Progress
    from brainmvp.finetune.machine import OneDevice
    from brainmvp.finetune.split import SplitFile
    from brainmvp.finetune.start import Start
    from brainmvp.modelstore import Model, ModelStore
    from brainmvp.tasks import Recipe, Task


@dataclass(frozen=True)
class Work:
    """What is learned from whom, and where.

    path: of the split; out: the folder of the run, or of the runs; cache: where prepared studies are kept, if asked
    for; workers: threads that prepare studies and crops.
    """

    task: "Task"
    cases: "list[Case]"
    split: "SplitFile"
    path: Path
    store: "ModelStore"
    out: Path
    cache: Path | None
    device: str
    workers: int

    def parts(self, fold: int) -> "dict[str, list[Case]]":
        """Return the cases of each part of a fold, and say how many they are."""
        parts, folds = self.split.parts(self.cases, fold, self.path), len(self.split.folds)
        which = f"fold {fold} of {folds}, " if folds > 1 else ""
        counts = ", ".join(f"{len(part)} {side}" for side, part in parts.items())
        say(f"{counts} ({which}by patient, {self.path})")
        return parts

    def warn_of_start(self, model: "Model", parts: "dict[str, list[Case]]") -> None:
        """Say whom of the test a start has learned from: what comes of it cannot be tested on them."""
        from brainmvp.evaluation.turns import taught

        seen = taught(model, parts["test"], self.cases, self.store)
        if seen:
            warn(
                f"{model.card.id} has learned from {len(seen)} of the test patients, such as {next(iter(seen))}; what "
                "starts from it cannot be tested on them."
            )
        seen = taught(model, parts["test"], self.cases, self.store, "scans")
        if seen:
            warn(
                f"{next(iter(seen.values()))} has seen scans of {len(seen)} of the test patients, such as "
                f"{next(iter(seen))}; to test on new ones, hold them out before the pretraining "
                "(`brainmvp index --test`)."
            )


def run_folder(out: Path, number: int | None, fold: int) -> Path:
    """Return the folder of a fold's run; number: None if all folds are trained, each in one of its own."""
    return out / f"fold-{fold}" if number is None else out


def train_folds(
    work: Work,
    start: "Model | None",
    recipe: "Recipe",
    number: int | None,
    devices: int,
    nodes: int,
    name: str,
) -> "list[Model] | None":
    """Train on one fold, or with number None on each in turn; return the stored models, or None if it was stopped.

    Where several processes train together, the others than the first say and store nothing, and return no model.
    """
    from brainmvp.device import ending_together, leave_group

    machine, first = None, True
    if devices * nodes > 1:
        from brainmvp.finetune.machine import ManyDevices

        machine = ManyDevices(work.device, devices, nodes)
        machine.launch()
        first = machine.rank == 0
    cache = work.cache or (work.out / "prepared" if number is None else None)
    made = []
    with ending_together(machine.fabric) if machine else nullcontext():
        for fold in range(len(work.split.folds)) if number is None else (number,):
            parts, folder = work.parts(fold), run_folder(work.out, number, fold)
            if first and start:
                work.warn_of_start(start, parts)
            result = _learn(work, parts, start, recipe, folder, machine, cache)
            if result is None:
                break
            if first:
                made.append(_keep(result, recipe, folder, work.store, name))
    leave_group()
    return None if first and result is None else made


def compare(
    work: Work, starts: "list[tuple[Model, Recipe]]", recipe: "Recipe", network: str | None, fractions: list[float],
    seeds: Iterable[int], fold: int,
) -> None:  # fmt: skip
    """Train every network or start, on every share of the labels, with every seed; say how they compare.

    starts: each with its recipe; network: names with commas between, if asked for.
    """
    from brainmvp.finetune.experiment import Variant, run_experiment
    from brainmvp.stop import stoppable

    parts = work.parts(fold)
    for model, _ in starts:
        work.warn_of_start(model, parts)
    networks = [part.strip() for part in network.split(",")] if network else [recipe.network]
    variants = [
        Variant(name if len(networks) > 1 or not starts else "scratch", None, name) for name in networks
    ]
    if starts and network is None:  # the fair comparison is the pretrained network without its pretraining
        variants = [Variant("scratch", starts[0][0], None, True, starts[0][1])]
    variants += [Variant(f"from {model.card.id}", model, None, recipe=own) for model, own in starts]
    with progress_bar(work.task.name) as tell, stoppable() as stop:
        rows = run_experiment(
            work.task, parts, variants, fractions, list(seeds), recipe, work.out, tell, stop,
            cache=work.cache or work.out / "prepared", device=work.device, workers=work.workers,
        )  # fmt: skip
    if rows is None:
        say("Stopped; the same command goes on from here.")
        return
    say((work.out / "summary.md").read_text("utf-8"))
    say(f"{len(rows)} runs; tables and pictures in {work.out}")


def _learn(
    work: Work, parts: "dict[str, list[Case]]", start: "Model | None", recipe: "Recipe", out: Path,
    machine: "OneDevice | None", cache: Path | None,
) -> "FineTuned | None":  # fmt: skip
    """Return the finished run, or None if it was stopped."""
    from brainmvp.finetune import finetune as run
    from brainmvp.stop import StoppedError, stoppable

    with progress_bar(work.task.name) as tell, stoppable() as stop:

        def preparing(done: int, total: int) -> None:
            stop.check()
            tell(f"preparing {done}/{total}", done / total)

        try:
            result = run(
                work.task, parts["train"], parts[recipe.chooser], start, recipe, out, device=work.device,
                machine=machine, cache=cache, workers=work.workers,
                progress=lambda p: tell(describe(p), p.share),
                opening=lambda begun: say(describe_start(begun, start, recipe)),
                preparing=preparing, should_stop=lambda: stop.signal is not None,
            )  # fmt: skip
        except StoppedError:
            return None
    return result if result.finished else None


def _keep(result: "FineTuned", recipe: "Recipe", out: Path, store: "ModelStore", name: str) -> "Model":
    """Return the finished run's model in the store, and say how good it is."""
    epochs = len(result.history)
    mark = {"epochs": epochs, "name": name, "weights": result.fingerprint}
    stored = keep_once(out, mark, store, lambda: result.store(store, name))
    scores = ", ".join(f"{key} {value:.4f}" for key, value in result.metrics.items())
    chosen_by = "validation" if recipe.chooser == "validation" else "the test studies, as published"
    say(f"Best of {epochs} epochs, by {chosen_by}: {scores}")
    say(f"Stored as {stored.card.id} in {stored.folder}; curves and examples in {out}")
    return stored


def describe_start(begun: "Start", model: "Model | None", recipe: "Recipe") -> str:
    """Return what a run begins with, in a line: whose weights, and what became of each part of them."""
    if model is None:
        return f"From scratch: {recipe.network}, all weights new" + (
            "; the encoder is frozen, and so never learns" if recipe.frozen_encoder else ""
        )
    of = f"a model for {model.card.task}" if model.card.task else "a pretrained encoder"
    frozen = "; the encoder is frozen" if recipe.frozen_encoder else ""
    return f"From {model.card.id}, {of}: {begun}{frozen}"


def describe(progress: "Progress") -> str:
    """Return where a run is, in a line."""
    from brainmvp.finetune.result import duration

    scores = ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())
    return (
        f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}"
        f"{', ' + scores if scores else ''}, {duration(progress.seconds_left)} left"
    )
