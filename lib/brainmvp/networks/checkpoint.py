"""Published checkpoints in, published checkpoints out, and an account of every entry."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically
from brainmvp.networks import build_network
from brainmvp.networks.config import NetworkConfig
from brainmvp.networks.layout import TEMPLATES, from_published, published_name, to_published
from brainmvp.networks.published import config_of, is_pretraining, read_entries

# Entries of a pretraining checkpoint that a segmenter has no use for: no gradient ever reached the UniFormer's
# `conv_block` and `proj1` (they are in the file at their random start), the others predict intensities.
_PRETRAINING_ONLY = re.compile(r"decoder\.(decoder\d\.conv_block|proj1|out_1)\.|up1conv\.")


@dataclass
class ImportReport:
    """What became of every entry of a foreign checkpoint.

    Names are those of the file, except in `initialised`, which are ours: what the file did not have.
    """

    source: str
    matched: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        reasons = list(self.dropped.values())
        return "\n".join(
            [
                (
                    f"{self.source}: {len(self.matched)} entries matched, {len(self.dropped)} dropped, "
                    f"{len(self.initialised)} newly initialised"
                ),
                *(f"  dropped {reasons.count(reason)}: {reason}" for reason in dict.fromkeys(reasons)),
                *(f"  newly initialised: {name}" for name in self.initialised),
            ]
        )


def import_published(
    path: Path,
) -> tuple[dict[str, Tensor], NetworkConfig, Tensor | None, ImportReport]:
    """Read a published checkpoint as a segmentation network of ours.

    Args:
        path: a file of the official code (a segmenter, or UniFormer or UNet in pretraining), or of
            `export_published`.

    Returns:
        The full state dict for `build_network(config)`, random where the file has nothing, the config, the templates
        (8, X, Y, Z) if the file has them, and the report.

    Raises:
        BrainMVPError: the file cannot be read safely, is no BrainMVP checkpoint, or a part of its encoder is missing.

    """
    entries, network = read_entries(path)
    config = network or config_of(entries, path)
    state, report = convert(entries, config, path.name)
    return state, config, entries.get(TEMPLATES), report


def convert(
    entries: dict[str, Tensor], config: NetworkConfig, source: str
) -> tuple[dict[str, Tensor], ImportReport]:
    """Map published `entries` onto the state dict of `build_network(config)`; see `import_published`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build_network(config).state_dict()
    pretraining = is_pretraining(entries)
    names = {published_name(name, config.backbone, pretraining=False): name for name in state}
    usable = {name.replace("encoder.uniformer.", "encoder."): name for name in entries}
    found = from_published(
        state, {short: entries[name] for short, name in usable.items()}, config.backbone, False
    )
    report = ImportReport(source)
    for short, original in usable.items():
        name = names.get(short)
        if short == TEMPLATES:
            report.matched.append(original)
        elif pretraining and _PRETRAINING_ONLY.match(short):
            report.dropped[original] = "of use in pretraining only"
        elif name is None:
            report.dropped[original] = "unknown to this network"
        elif found[name].shape == state[name].shape:
            state[name] = found[name].to(state[name].dtype).clone()
            report.matched.append(original)
        else:
            report.dropped[original] = (
                f"{tuple(found[name].shape)} where {tuple(state[name].shape)} is needed"
            )
    taken = set(report.matched)
    report.initialised = [name for short, name in names.items() if usable.get(short) not in taken]
    missing = [name for name in report.initialised if name.startswith("encoder.")]
    if missing:
        raise BrainMVPError(
            f"{source}: {len(missing)} entries of the encoder are missing or have another shape, first "
            f"'{missing[0]}': give the complete checkpoint of a published BrainMVP network"
        )
    return state, report


def export_published(
    path: Path, state: dict[str, Tensor], config: NetworkConfig, pretraining: bool = False
) -> None:
    """Write a state dict in the published layout, for others' code; `import_published` reads it back.

    Args:
        path: the file, replaced atomically.
        state: of `build_network(config)`, or with `pretraining` of the pretraining model, templates included.
        config: also written, since the published layout does not tell the number of heads.
        pretraining: write the layout of the official pretraining instead of that of its segmenter.

    Raises:
        BrainMVPError: the network is a variant of ours that the published layout cannot express.

    """
    if config.patches:
        raise BrainMVPError(
            f"{path}: a UNet that starts from patches has no published layout to be written in"
        )
    content = {
        "state_dict": to_published(state, config.backbone, pretraining),
        "network": config.model_dump(mode="json"),
    }
    atomically(path, lambda temporary: torch.save(content, temporary))
