"""`brainmvp pretrain`: the method's pretraining, on one device or many."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainmvp.cli.asked import check_none_other
from brainmvp.cli.console import progress_bar, say, warn
from brainmvp.cli.keeping import keep_once
from brainmvp.cli.typed import is_typed, typed_again
from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from pretraining.run.config import Config

# What a stopped run does not keep by itself.
_AGAIN = (
    "cache", "workers", "accelerator", "devices", "nodes", "precision", "deterministic", "save_every", "validate_every",
    "log_every", "store",
)  # fmt: skip


def pretrain(
    context: typer.Context,
    index: Annotated[Path, typer.Argument(help="The cohort's index; run `brainmvp prepare` on it first.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: configuration, log, pictures, model.")],
    config: Annotated[
        str, typer.Option(help="paper or script: the two published recipes do not agree.")
    ] = "paper",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, as it was set up, if there is one.")
    ] = False,
    network: Annotated[
        str, typer.Option(help="uniformer, unet, uniformer-compact, unet-compact or unet-light.")
    ] = "uniformer",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length; the recipe's phases move with it. Default: 1500.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Studies per device and pass; default: 3.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Passes per optimiser step; default: the recipe's.")
    ] = None,
    series: Annotated[
        int | None, typer.Option(min=1, help="At most so many series of a study per step.")
    ] = None,
    patch: Annotated[tuple[int, int, int] | None, typer.Option(help="Voxels; default: 96 96 96.")] = None,
    spacing: Annotated[float | None, typer.Option(help="mm, as prepared; default: 1.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the start; default: 3e-4.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, patches and masks; default: 0.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after this step, with a checkpoint.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Of the prepared studies; default: beside the index.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read patches, per device.")] = 4,
    accelerator: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    devices: Annotated[str, typer.Option(help="Number of devices of this computer, or auto.")] = "auto",
    nodes: Annotated[int, typer.Option(min=1, help="Number of computers, under torchrun or SLURM.")] = 1,
    precision: Annotated[
        str | None, typer.Option(help="bf16-mixed or 32-true; default: bf16 on a GPU.")
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="On a GPU: repeatable sums where PyTorch has them, slower."),
    ] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 500,
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of the log.")] = 10,
    store: Annotated[
        str, typer.Option(help="Keep the model in the store under this name; empty: only in --out.")
    ] = "encoder",
) -> None:
    """Pretrain an encoder across sequences: reconstruction, template distillation and contrast.

    Ctrl+C, SIGTERM and SIGUSR1 end it after a step, with a checkpoint; --resume goes on, on a CPU to the same numbers.
    """
    from brainmvp.card import check_name
    from brainmvp.cli.parts import pretraining
    from brainmvp.device import ending_together, leave_group

    if precision not in (None, "bf16-mixed", "32-true"):
        raise BrainMVPError(f"There is no precision '{precision}'; use bf16-mixed or 32-true.")
    loop, configs = pretraining("run.loop"), pretraining("run.config")
    if store:
        check_name(store)
    wanted, folder = None, pretraining("run.folder").RunFolder(out)
    changes = {
        "batch": batch, "accumulate": accumulate, "series": series, "patch": patch, "spacing": spacing,
        "learning_rate": learning_rate, "seed": seed,
    }  # fmt: skip
    if resume and folder.begun:
        asked = changes | {"epochs": epochs}
        asked |= {"name": config} if is_typed(context, "config") else {}
        if is_typed(context, "network"):
            asked["network"] = configs.named_config(config, network).network
        _check_unchanged(folder.config(), asked, out)
    else:
        wanted = configs.named_config(config, network, epochs or configs.EPOCHS, **changes)
    finished = wanted is None and folder.finished
    fabric = pretraining("run.devices").make_fabric(accelerator, _number_of(devices), nodes, precision)
    with ending_together(fabric), progress_bar("Pretrain") as tell:

        def report(record: dict[str, Any]) -> None:
            if "warning" in record:
                warn(record["warning"])
            elif "progress" in record:
                speed = f"{record['studies_per_second']:.2g} studies/s"
                tell(f"step {record['step']}, loss {record['total']:.4g}, {speed}", record["progress"])

        model = loop.pretrain(
            index, out, wanted, fabric, cache=cache, steps=steps, workers=workers, save_every=save_every,
            validate_every=validate_every, log_every=log_every, deterministic=deterministic, report=report,
        )  # fmt: skip
    leave_group()
    if not fabric.is_global_zero:
        return
    if model is None:
        command = shlex.join(["brainmvp", "pretrain", str(index), "--out", str(out)])
        say(f"Stopped; go on with: {command}{typed_again(context, *_AGAIN)} --resume")
        return
    if finished:
        say(f"{out} is finished: nothing was trained.")
    say(f"Model: {model}; pictures: {out / 'pictures'}")
    if store:
        from brainmvp.modelstore import ModelStore

        export, models = pretraining("run.export"), ModelStore()
        mark = {"written": (model / "card.json").stat().st_mtime_ns, "name": store}
        kept = keep_once(out, mark, models, lambda: export.add_to_store(model, models, store))
        say(f"Stored as {kept.card.id}; fine-tune from it.")


def _check_unchanged(config: "Config", asked: dict[str, Any], out: Path) -> None:
    """Raise `BrainMVPError` if something else is asked of a run than it has; what is None is not asked."""
    other = [name for name, value in asked.items() if value not in (None, getattr(config, name))]
    check_none_other(["config" if name == "name" else name for name in other], out)


def _number_of(devices: str) -> int | str:
    if devices == "auto":
        return devices
    if not devices.isdecimal() or int(devices) < 1:
        raise BrainMVPError(f"--devices {devices} is no number of devices; use 1 or more, or auto.")
    return int(devices)
