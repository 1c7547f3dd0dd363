"""Reading a published checkpoint file: its entries, and what network they are of."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from brainmvp.errors import BrainMVPError, first_line
from brainmvp.networks.config import NetworkConfig
from brainmvp.networks.layout import TEMPLATES

# The official trainer may store its best score as a numpy number, which is data as much as a tensor is.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_NUMBERS = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
]


def read_entries(path: Path) -> tuple[dict[str, Tensor], NetworkConfig | None]:
    """Return the entries of a checkpoint without the `module.` of parallel training, and its config if it has one.

    Nothing in the file is executed; BrainMVPError for a file that would need it, or is no checkpoint.
    """
    try:
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BrainMVPError(f"{path}: no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise BrainMVPError(
            f"{path} is not a checkpoint that can be loaded safely ({first_line(error)}): "
            "save it again with torch.save, with tensors and numbers only"
        ) from error
    entries = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(value, Tensor) for value in entries.values()):
        raise BrainMVPError(f"{path} holds no state dict: give a checkpoint of a BrainMVP network")
    network = content.get("network")
    try:
        config = None if network is None else NetworkConfig.model_validate(network)
    except ValidationError as error:
        raise BrainMVPError(
            f"{path} describes a network that cannot be built: {error.errors()[0]['msg']}"
        ) from error
    return {re.sub(r"^(module\.)+", "", name): value for name, value in entries.items()}, config


def is_pretraining(entries: dict[str, Tensor]) -> bool:
    """Tell whether the entries are of the pretraining network and not of a segmenter."""
    return TEMPLATES in entries or any(name.startswith("decoder.out_1.") for name in entries)


def config_of(entries: dict[str, Tensor], path: Path) -> NetworkConfig:
    """Read the sizes of a network off its published entries; BrainMVPError if they are of another network.

    A layout does not tell the channels per attention head: the official code has 64 (`models/uniformer.py`).
    """
    shapes = {name.replace("encoder.uniformer.", "encoder."): value.shape for name, value in entries.items()}
    try:
        if "conv1a.weight" in shapes:
            return _unet_config(shapes)
        if "encoder.patch_embed1.proj.weight" in shapes:
            return _uniformer_config(shapes)
    except (KeyError, ValidationError) as error:
        raise BrainMVPError(
            f"{path}: entries of its network are missing or do not fit together: {error}"
        ) from error
    raise BrainMVPError(
        f"{path} is not of a BrainMVP network: neither 'encoder.patch_embed1.proj.weight' (UniFormer) nor "
        "'conv1a.weight' (UNet) is in it"
    )


def _uniformer_config(shapes: dict[str, torch.Size]) -> NetworkConfig:
    levels = range(1, 5)
    widths = tuple(shapes[f"encoder.patch_embed{level}.proj.weight"][0] for level in levels)
    return NetworkConfig(
        backbone="uniformer",
        in_channels=shapes["encoder.patch_embed1.proj.weight"][1],
        out_channels=shapes.get("decoder.out.conv.conv.weight", [1])[0],
        widths=widths,
        depths=tuple(_count(shapes, rf"encoder\.blocks{level}\.\d+\.pos_embed\.weight") for level in levels),
        fine_width=shapes["decoder.decoder2.transp_conv.conv.weight"][1],
        mlp_ratio=shapes["encoder.blocks1.0.mlp.fc1.weight"][0] // widths[0],
        norm="batch" if "encoder.norm.running_mean" in shapes else "group",
        deep_supervision="ms_out.0.weight" in shapes,
    )


def _unet_config(shapes: dict[str, torch.Size]) -> NetworkConfig:
    levels = range(1, 2 + _count(shapes, r"ds\d+\.weight"))
    return NetworkConfig(
        backbone="unet",
        in_channels=shapes["conv1a.weight"][1],
        out_channels=shapes["up1conv.weight"][0],
        widths=tuple(shapes[f"conv{level}b.conv1.weight"][0] for level in levels),
        depths=tuple(_count(shapes, rf"conv{level}[a-z]\.conv1\.weight") for level in levels),
    )


def _count(shapes: dict[str, torch.Size], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in shapes)
