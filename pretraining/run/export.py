"""What a finished run gives: an encoder with its card, its templates, and a checkpoint in the published layout."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from torch import Tensor

from brainmvp.card import Card, mark_of
from brainmvp.cohort import Index, Session
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore, write_model
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.networks.checkpoint import convert, export_published
from brainmvp.networks.layout import to_published
from brainmvp.sequences import Sequence
from brainmvp.templates import export_templates

from ..data.cache import CachedImages
from ..model import PretrainingModel
from .config import Config
from .folder import RunFolder

PUBLISHED = "published.pt"
_TEMPLATES = "templates"


def export_run(
    folder: RunFolder,
    model: PretrainingModel,
    config: Config,
    index: Index,
    trained: Mapping[str, CachedImages],
) -> Path:
    """Write `model/` into a run folder and return it: card, weights, templates with affine and names, published layout.

    The weights are under the names of the segmentation network that is fine-tuned from them. A UNet that starts from
    patches has no published layout, so there is none of it then. trained: the studies that were learned from, by the
    ids that the index has. Raises `BrainMVPError` if the weights are not numbers.
    """
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    if not all(value.isfinite().all() for value in state.values()):
        raise BrainMVPError(
            f"The weights in {folder.root} are not numbers: lower the learning rate ({config.learning_rate:g}) and "
            "start in an empty folder."
        )
    found = {sequence for images in trained.values() for sequence in images.sequences}
    seen = tuple(sequence for sequence in Sequence if sequence in found)
    sessions = [session for session in index.sessions if session.id in trained]
    target = folder.model
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    export_templates(state["templates"], target / _TEMPLATES, config.spacing, seen)
    if not config.network.patches:
        export_published(target / PUBLISHED, state, config.network, pretraining=True)
    # The card is written last: what has one is complete.
    write_model(_card(folder, config, index, sessions, seen), encoder_weights(state, config.network), target)
    return target


def add_to_store(exported: Path, store: ModelStore, name: str) -> Model:
    """Store an exported run as the next version of `name`, with its templates and published checkpoint beside it.

    Raises `BrainMVPError` if the folder holds no finished run's model.
    """
    try:
        card = Card.model_validate_json((exported / "card.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BrainMVPError(f"{exported} holds no model; let the run come to its end.") from error
    card = card.model_copy(update={"name": name, "version": store.next_version(name)})

    def write_more(folder: Path) -> None:
        shutil.copytree(exported / _TEMPLATES, folder / _TEMPLATES)
        if (exported / PUBLISHED).is_file():
            shutil.copy2(exported / PUBLISHED, folder / PUBLISHED)

    return store.add(card, Model(card, exported).load_weights(), write_more)


def encoder_weights(state: Mapping[str, Tensor], network: NetworkConfig) -> dict[str, Tensor]:
    """Return the entries of a pretraining model that a segmentation network begins with, under its names."""
    if network.patches:
        names = build_network(network).state_dict()
        # Its pretraining decoder predicts voxels where the segmenter's hands features on: all but its head is shared.
        renamed = {name.replace("decoder.decoder.", "decoder.", 1): value for name, value in state.items()}
        return {n: v for n, v in renamed.items() if n in names and not n.startswith("decoder.head.")}
    weights, report = convert(to_published(state, network.backbone, pretraining=True), network, "this run")
    new = set(report.initialised)
    return {name: value for name, value in weights.items() if name not in new}


def _card(
    folder: RunFolder, config: Config, index: Index, training: list[Session], seen: tuple[Sequence, ...]
) -> Card:
    return Card(
        name="encoder",
        version=1,
        kind="encoder",
        title=f"BrainMVP {config.network.backbone}, pretrained on {len(training)} studies ({config.name})",
        sequences=seen,
        network=config.network,
        spacing=config.spacing,
        window=config.patch,
        created=date.today(),
        training={
            "config": config.model_dump(mode="json"),
            "index_sha256": index.fingerprint,
            "scans": sorted({mark_of(session.patient) for session in training}),
        },
        data=tuple(
            f"{dataset}: {count} visits" for dataset, count in Counter(s.dataset for s in training).items()
        ),
        metrics=_last_scores(folder.records()),
        known_failures=("Not a segmentation model: fine-tune it first.",),
    )  # fmt: skip


def _last_scores(records: list[dict[str, Any]]) -> dict[str, float]:
    """Return the last validation of a log: PSNR in dB and SSIM of held-out studies, by view."""
    scores: dict[str, float] = {}
    for record in records:
        scores |= {name: value for name, value in record.items() if name.startswith(("psnr_", "ssim_"))}
    return scores
