"""A published checkpoint becomes a version in the model store."""

import re
from datetime import date
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from brainmvp.card import Card
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.networks.checkpoint import ImportReport, import_published
from brainmvp.networks.config import NetworkConfig
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task, get_task
from brainmvp.volume import atomically

# The published networks see 96 x 96 x 96 voxels of 1 mm (paper, section 4.1; official scripts `--roi_x 96`).
_SPACING_MM = 1.0
_WINDOW = (96, 96, 96)


def import_checkpoint(
    path: Path, store: ModelStore, name: str | None = None, task: str | None = None
) -> tuple[Model, ImportReport]:
    """Store a checkpoint of the published code as a new version and return it with an account of its entries.

    name: in the store, by default from the file's name; task: what a fine-tuned network segments, None for an
    encoder. Templates in the file are kept in the version's folder as `templates.safetensors`, one (X, Y, Z) per
    sequence. Raises `BrainMVPError` if the file cannot be read safely, fits badly, or is not of the task.
    """
    state, config, templates, report = import_published(path)
    name = name or re.sub(r"[^a-z0-9_-]+", "-", path.name.split(".")[0].lower()).strip("-_")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise BrainMVPError(
            f"'{name}' is no name for a model; use small letters, digits, - and _ with --name."
        )
    wanted = get_task(task) if task else None
    if wanted:
        _check_fit(path, wanted, config, report)
    card = Card(
        name=name,
        version=store.next_version(name),
        kind="segmentation" if wanted else "encoder",
        task=task,
        title=f"Imported from {path.name}",
        sequences=wanted.sequences if wanted else tuple(Sequence),
        regions=tuple(region.name for region in wanted.regions) if wanted else (),
        network=config,
        spacing=_SPACING_MM,
        window=_WINDOW,
        created=date.today(),
    )
    model = store.add(card, state)
    if templates is not None:
        _save_templates(templates, model.folder / "templates.safetensors")
    return model, report


def _check_fit(path: Path, task: Task, config: NetworkConfig, report: ImportReport) -> None:
    if any(entry.startswith("head.") for entry in report.initialised):
        raise BrainMVPError(
            f"{path.name} holds a pretrained encoder, which has not learned the {task.name} task; "
            "import it without --task."
        )
    given = (config.in_channels, config.out_channels)
    if given != (len(task.sequences), len(task.regions)):
        raise BrainMVPError(
            f"{path.name} turns {given[0]} sequences into {given[1]} regions, and the {task.name} task has "
            f"{len(task.sequences)} and {len(task.regions)}; choose another --task."
        )


def _save_templates(templates: Tensor, path: Path) -> None:
    named = {str(sequence): image.contiguous() for sequence, image in zip(Sequence, templates, strict=True)}
    atomically(path, lambda temporary: save_file(named, temporary))
