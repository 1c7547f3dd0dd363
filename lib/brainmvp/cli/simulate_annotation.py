"""`brainmvp simulate-annotation`: how many labels each strategy would have saved on a labelled cohort."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import errors, print_table, say
from brainmvp.cli.options import Device
from brainmvp.errors import BrainMVPError


def simulate_annotation(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the curves, the picture and the prepared studies.")],
    task: Annotated[str, typer.Option(help="tumour or stroke.")] = "tumour",
    cohort: Annotated[
        Path | None, typer.Option(help="Folder of studies with labels beside them; default: phantoms.")
    ] = None,
    phantoms: Annotated[
        int, typer.Option(min=6, help="Made-up patients to label, if no cohort is given.")
    ] = 96,
    phantom_seed: Annotated[
        int, typer.Option(min=41_000, help="Of the first made-up patient; the others count up.")
    ] = 70_000,
    test: Annotated[
        int | None,
        typer.Option(min=1, help="Patients that only test; default: 100 phantoms, a quarter of a cohort."),
    ] = None,
    budgets: Annotated[
        str, typer.Option(help="Numbers of labels at which a model learns.")
    ] = "2,4,8,12,18,27,40",
    seeds: Annotated[
        int, typer.Option(min=1, help="Repetitions, each with another three quarters of the cohort.")
    ] = 3,
    first_seed: Annotated[int, typer.Option(min=0, help="The others count up.")] = 0,
    strategies: Annotated[
        str, typer.Option(help="Names with commas between; also uncertainty, coldstart, sequential.")
    ] = "random,random-foreground,hybrid",
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each model, of two studies.")] = 300,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 3e-3,
    spacing: Annotated[float, typer.Option(min=1, help="Working grid, mm, without --from.")] = 8.0,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Model that is served before; default: of phantoms a small one, else an untrained one.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Whose embeddings; default: as in the server, of phantoms the model of before."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Replay the annotation of a cohort with an oracle that knows the labels, and compare the strategies."""
    import torch

    from brainmvp import __version__
    from brainmvp.annotation.cohorts import earlier_model, labelled_cohort, phantom_cohort, untrained
    from brainmvp.annotation.saving import summarise, write_simulation
    from brainmvp.annotation.simulate import FOREGROUND, Setting, Simulation
    from brainmvp.device import pick_device
    from brainmvp.modelstore import ModelStore
    from brainmvp.phantom.write import USUAL_SEQUENCES
    from brainmvp.selection import STRATEGIES
    from brainmvp.selection.embed import Embedder, choose_encoder
    from brainmvp.tasks import get_task

    wanted, store = get_task(task), ModelStore()
    if wanted.kind != "segmentation":
        raise BrainMVPError(f"{wanted.name} is no segmentation; choose a task with structures to draw.")
    if not cohort and wanted.name not in USUAL_SEQUENCES:
        raise BrainMVPError(f"Made-up brains have no {wanted.name}; give --cohort.")
    names = [name.strip() for name in strategies.split(",")]
    if unknown := [name for name in names if name not in (*STRATEGIES, FOREGROUND)]:
        raise BrainMVPError(
            f"There is no strategy {unknown[0]!r}; use {', '.join((*STRATEGIES, FOREGROUND))}."
        )
    counts = _counts(budgets)

    def tell(text: str) -> None:
        errors.print(text, markup=False, highlight=False)

    place = pick_device(device)
    beginning = store.resolve(start) if start else untrained(wanted, spacing, out / "start")
    spacing = beginning.card.spacing
    chosen = store.resolve(encoder) if encoder else choose_encoder(store, task) if cohort else None
    if cohort:
        embedder = Embedder(chosen, place)
        studies = labelled_cohort(cohort, wanted, test, spacing, embedder, out / "prepared", tell)
    else:
        if not start:
            beginning = earlier_model(wanted, beginning, out / "earlier", steps)
        embedder = Embedder(chosen or beginning, place)
        studies = phantom_cohort(wanted, phantoms, test or 100, spacing, embedder, phantom_seed, tell)
    setting = Setting(wanted, studies, beginning, counts, steps, lr, place)
    simulations = [Simulation(setting, seed, tell) for seed in range(first_seed, first_seed + seeds)]
    named = {
        "start": beginning.card.id if start else None, "encoder": chosen.card.id if chosen else None,
        "test": len(studies.test), "spacing": spacing, "device": str(place),
    }  # fmt: skip
    facts = {
        "task": task, "cohort": "phantoms" if cohort is None else cohort.name, "pool": simulations[0].size,
        "test": len(studies.test), "start": beginning.card.title, "start_dice": round(simulations[0].before(), 4),
        "encoder": embedder.card.title, "command": _command(context, named), "brainmvp": __version__,
        "torch": torch.__version__, "threads": torch.get_num_threads(),
    }  # fmt: skip
    curves, full = [], []
    for simulation in simulations:
        full.append(simulation.full())
        tell(f"all {simulation.size} labels, seed {simulation.seed}: Dice {full[-1]:.3f}")
        curves += [simulation.run(name) for name in names]
        # What is there so far can be looked at while the next seed runs.
        picture = write_simulation(out, curves, summary := summarise(curves, full, facts))
    columns = {"Strategy": "left", "Labels for 90 %": "right", "for 95 %": "right", "Mean Dice": "right"}
    rows = [
        (name, *(_shown(part["mean_curve"]) for part in found["labels_needed"].values()),
         f"{found['mean_over_budgets']:.3f}")
        for name, found in summary["strategies"].items()
    ]  # fmt: skip
    print_table(
        f"Of {summary['pool']} studies; all of them: Dice {summary['full_data_dice']:.3f}", columns, rows
    )
    say(f"Curves: {picture}")


def _command(context: typer.Context, named: dict[str, object]) -> str:
    """Return what has to be typed to do this again: every option, some with what a default or a name stood for."""
    words = ["brainmvp", "simulate-annotation"]
    for option in context.command.params:
        value = named.get(option.name, context.params[option.name])
        if value is not None:
            words += [option.opts[0], str(value)]
    return shlex.join(words)


def _counts(budgets: str) -> tuple[int, ...]:
    """Return the numbers of labels, rising."""
    parts = [part.strip() for part in budgets.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise BrainMVPError(f"--budgets {budgets} are no numbers of labels; write them like 3,6,10.")
    return tuple(sorted({int(part) for part in parts}))


def _shown(labels: float | None) -> str:
    return "not reached" if labels is None else f"{labels:g}"
