"""What a network is made of: a small record that travels in the model's card."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from brainmvp.errors import BrainMVPError

Backbone = Literal["uniformer", "unet", "segresnet", "dynunet"]


class NetworkConfig(BaseModel):
    """Everything `build_network` needs to make a segmentation network again.

    Example:
        >>> NetworkConfig.preset("uniformer-compact", in_channels=4, out_channels=3).stride
        16
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Backbone
    in_channels: PositiveInt
    out_channels: PositiveInt
    widths: tuple[PositiveInt, ...] = Field(description="channels of each encoder level, fine to coarse")
    depths: tuple[PositiveInt, ...] = Field(description="residual blocks of each encoder level")
    fine_width: PositiveInt = Field(
        64,
        description="channels on the full grid: of the UniFormer's decoder, or of a UNet that starts from patches",
    )
    patches: bool = Field(
        False,
        description="UNet: start from patches of 2x2x2 voxels, so that all but one step lie on half the grid",
    )
    head_dim: PositiveInt = Field(64, description="UniFormer: channels per attention head")
    mlp_ratio: PositiveInt = Field(4, description="UniFormer: hidden over embedding channels")
    norm: Literal["batch", "group"] = Field(
        "batch",
        description="UniFormer: norm of the convolution blocks; `group` has no running statistics, so it means "
        "the same with one volume per batch and with any subset of sequences",
    )
    deep_supervision: bool = Field(
        False, description="UniFormer: in training also predict at 1/4 and 1/2 grid"
    )

    @property
    def stride(self) -> int:
        """Every edge of an input must be a multiple of this number of voxels."""
        return 2 ** (
            len(self.widths) if self.backbone == "uniformer" or self.patches else len(self.widths) - 1
        )

    @property
    def has_encoder(self) -> bool:
        """Whether the network has an encoder of its own, to describe studies, to classify with, to freeze."""
        return self.backbone in ("uniformer", "unet")

    @model_validator(mode="after")
    def _consistent(self) -> NetworkConfig:
        if len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths {self.widths} and depths {self.depths} must have one entry per level each"
            )
        if self.backbone == "uniformer":
            if self.patches:
                raise ValueError("patches are a part of the UNet only: a UniFormer always starts from them")
            if len(self.widths) != 4:
                raise ValueError(f"a UniFormer has 4 levels, got widths {self.widths}")
            if any(width % self.head_dim for width in self.widths[2:]):
                raise ValueError(f"widths {self.widths[2:]} must be multiples of head_dim {self.head_dim}")
        elif self.patches and self.backbone != "unet":
            raise ValueError("patches are a part of the UNet only")
        elif self.deep_supervision:
            raise ValueError("deep supervision is a part of the UniFormer segmenter only")
        normed = self.widths if self.backbone == "unet" or self.norm == "group" else ()
        if any(width % 8 for width in normed):
            raise ValueError(f"widths {self.widths} must be multiples of the 8 groups of their normalisation")
        return self

    def without_deep_supervision(self) -> NetworkConfig:
        """Return the same network with predictions on the full grid only."""
        return self.model_copy(update={"deep_supervision": False})

    @classmethod
    def preset(cls, name: str, in_channels: int, out_channels: int) -> NetworkConfig:
        """Return a named configuration; raises `BrainMVPError` with the known names.

        `segresnet` and `dynunet` are what one would train without a pretraining, for comparison (`peers.py`).

        `uniformer` and `unet` have the published sizes (official code, `models/uniformer.py`, `models/unet3d.py`).
        `…-compact` ones are for whole brains at 2 mm on a CPU: about equal in cost, below 6 million parameters.
        `unet-light` has as many but works on half the grid: half the cost, so that it can be trained on a CPU, too.
        """
        if name not in PRESETS:
            raise BrainMVPError(f"There is no network '{name}'; use {', '.join(PRESETS)}.")
        return cls(in_channels=in_channels, out_channels=out_channels, **PRESETS[name])


PRESETS: dict[str, dict] = {
    "uniformer": {
        "backbone": "uniformer",
        "widths": (64, 128, 320, 512),
        "depths": (3, 4, 8, 3),
        "deep_supervision": True,
    },
    "unet": {"backbone": "unet", "widths": (32, 64, 128, 256), "depths": (1, 2, 2, 4)},
    "uniformer-compact": {
        "backbone": "uniformer",
        "widths": (32, 64, 128, 192),
        "depths": (3, 4, 8, 3),
        "fine_width": 16,
        "head_dim": 32,
        "norm": "group",
    },
    "unet-compact": {"backbone": "unet", "widths": (16, 32, 64, 128), "depths": (1, 2, 2, 4)},
    "unet-light": {
        "backbone": "unet",
        "widths": (32, 64, 128, 160),
        "depths": (1, 2, 2, 1),
        "patches": True,
        "fine_width": 8,
    },
    # MONAI's SegResNet with the sizes of its BraTS bundle; DynUNet with those that nnU-Net plans for 1 mm brains.
    "segresnet": {"backbone": "segresnet", "widths": (16, 32, 64, 128), "depths": (1, 2, 2, 4)},
    "dynunet": {"backbone": "dynunet", "widths": (32, 64, 128, 256, 320), "depths": (2, 2, 2, 2, 2)},
}
