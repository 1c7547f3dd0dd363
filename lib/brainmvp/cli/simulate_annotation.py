"""`brainmvp simulate-annotation`: how many labels each strategy would have saved on a labelled cohort."""

from pathlib import Path
from typing import Annotated

import typer

from brainmvp.cli.console import errors, print_table, say


def simulate_annotation(
    out: Annotated[Path, typer.Option(help="Folder for the curves, the picture and the prepared studies.")],
    task: Annotated[str, typer.Option(help="tumour or stroke.")] = "tumour",
    cohort: Annotated[
        Path | None, typer.Option(help="Folder of studies with labels beside them; default: phantoms.")
    ] = None,
    phantoms: Annotated[int, typer.Option(min=6, help="Made-up patients, if no cohort is given.")] = 40,
    test: Annotated[int, typer.Option(min=1, help="Patients that only test.")] = 10,
    budgets: Annotated[str, typer.Option(help="Numbers of labels at which a model learns.")] = "3,6,12,20",
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions, with seeds 0, 1, …")] = 3,
    strategies: Annotated[
        str, typer.Option(help="Names with commas between.")
    ] = "random,random-foreground,coldstart,uncertainty,hybrid",
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each model.")] = 300,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 5e-3,
    spacing: Annotated[float, typer.Option(min=1, help="Working grid, mm, without --from.")] = 6.0,
    start: Annotated[
        str | None, typer.Option("--from", help="Model to learn from; default: a small untrained network.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Whose embeddings; default: as in the server, see its README.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
) -> None:
    """Replay the annotation of a cohort with an oracle that knows the labels, and compare the strategies."""
    from brainmvp.annotation.cohorts import labelled_cohort, phantom_cohort, share_out, untrained
    from brainmvp.annotation.saving import summarise, write_simulation
    from brainmvp.annotation.simulate import FOREGROUND, Setting, Simulation
    from brainmvp.errors import BrainMVPError
    from brainmvp.modelstore import ModelStore
    from brainmvp.selection import STRATEGIES
    from brainmvp.selection.embed import choose_encoder
    from brainmvp.tasks import get_task

    wanted, store = get_task(task), ModelStore()
    names = [name.strip() for name in strategies.split(",")]
    if unknown := [name for name in names if name not in (*STRATEGIES, FOREGROUND)]:
        raise BrainMVPError(
            f"There is no strategy {unknown[0]!r}; use {', '.join((*STRATEGIES, FOREGROUND))}."
        )

    def tell(text: str) -> None:
        errors.print(text, markup=False, highlight=False)

    cases = (
        labelled_cohort(cohort)
        if cohort
        else phantom_cohort(out / "phantoms", wanted, phantoms, 50_000, tell)
    )
    pool, tested = share_out(cases, test, seed=0)
    counts = tuple(sorted({min(int(part), len(pool)) for part in budgets.split(",")}))
    changes = {
        "epochs": 1, "steps_per_epoch": steps, "lr": lr, "batch": 2, "pair_weight": 0.0, "mixed": 0,
        "weight_decay": 0.0, "validate_every": 1,
    }  # fmt: skip
    setting = Setting(
        wanted, pool, tested, store.resolve(start) if start else untrained(wanted, spacing, out / "start"),
        wanted.recipe.model_copy(update=changes), counts,
        store.resolve(encoder) if encoder else choose_encoder(store, task), out, device,
    )  # fmt: skip
    simulation = Simulation(setting, tell)
    full = []
    for seed in range(seeds):
        full.append(simulation.full(seed))
        tell(f"all {len(pool)} labels, seed {seed}: Dice {full[-1]:.3f}")
    facts = {
        "task": task, "cohort": "phantoms" if cohort is None else cohort.name, "pool": len(pool), "test": len(tested),
        "steps": steps, "lr": lr, "spacing_mm": setting.start.card.spacing, "start": setting.start.card.title,
        "encoder": setting.encoder.card.id,
    }  # fmt: skip
    curves = []
    for seed in range(seeds):
        curves += [simulation.run(name, seed) for name in names]
        # What is there so far can be looked at while the next seed runs.
        picture = write_simulation(out, curves, summary := summarise(curves, full, facts))
    columns = {"Strategy": "left", "Labels for 90 %": "right", "for 95 %": "right", "Mean Dice": "right"}
    rows = [
        (name, *(_shown(part["mean_curve"]) for part in found["labels_needed"].values()),
         f"{found['mean_over_budgets']:.3f}")
        for name, found in summary["strategies"].items()
    ]  # fmt: skip
    print_table(f"Of {len(pool)} studies; all of them: Dice {summary['full_data_dice']:.3f}", columns, rows)
    say(f"Curves: {picture}")


def _shown(labels: float | None) -> str:
    return "not reached" if labels is None else f"{labels:g}"
