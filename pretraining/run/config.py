"""What describes a run completely, and the two named configurations."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from brainmvp.errors import BrainMVPError
from brainmvp.networks.config import NetworkConfig

from ..recipe import EPOCHS, RECIPES, Recipe
from ..templates import SRI24_SHAPE

Precision = Literal["bf16-mixed", "32-true"]


class Config(BaseModel):
    """A run: the same configuration, index and number of processes give the same weights (on CPUs)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    recipe: Recipe
    network: NetworkConfig
    spacing: PositiveFloat = Field(1.0, description="of the voxels, mm (official script: 1)")
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        (96, 96, 96), description="what the network sees, voxels (official script: 96^3)"
    )
    series: PositiveInt | None = Field(description="series of a study drawn per step; None: all")
    batch: PositiveInt = Field(3, description="studies per device and pass (paper and official script: 3)")
    accumulate: PositiveInt = Field(description="passes per optimiser step")
    epochs: PositiveInt = EPOCHS
    learning_rate: PositiveFloat = Field(3e-4, description="at the start; a cosine to zero (official script)")
    weight_decay: NonNegativeFloat = Field(
        1e-5, description="of everything, templates included (official script)"
    )
    seed: int = 0

    @property
    def template_shape(self) -> tuple[int, int, int]:
        """The SRI24 grid with this configuration's voxels."""
        x, y, z = (round(edge / self.spacing) for edge in SRI24_SHAPE)
        return x, y, z

    @model_validator(mode="after")
    def _fits(self) -> Config:
        for step in (self.network.stride, self.recipe.block):
            if any(edge % step for edge in self.patch):
                raise ValueError(f"the patch {self.patch} must have edges that are multiples of {step}")
        return self

    def steps(self, studies: int, processes: int) -> int:
        """Return the number of optimiser steps in which that many studies are seen `epochs` times."""
        return max(round(self.epochs * studies / (self.batch * self.accumulate * processes)), 1)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate at an optimiser step: a cosine to zero (official script)."""
        return self.learning_rate * (0.5 * (1 + math.cos(math.pi * step / steps)))


# What the two sources say beyond their recipes. The paper trains on 8 GPUs with a batch of 3; the script on 4 with a
# batch of 3, two of them per step, and takes 4 series of a study.
_BEYOND = {"paper": {"series": None, "accumulate": 1}, "script": {"series": 4, "accumulate": 2}}


def named_config(name: str, network: str = "uniformer", epochs: int = EPOCHS, **changes: Any) -> Config:
    """Return the configuration `paper` or `script`, with changes; a change that is None changes nothing.

    With another number of epochs the recipe's phases move in proportion. Raises `BrainMVPError` for an unknown name
    or values that do not go together.
    """
    if name not in RECIPES:
        raise BrainMVPError(f"There is no configuration '{name}'; choose {' or '.join(RECIPES)}.")
    changes = {key: value for key, value in changes.items() if value is not None}
    values = {"recipe": RECIPES[name].for_epochs(epochs), **_BEYOND[name], **changes}
    encoder = NetworkConfig.preset(network, 1, 1).without_deep_supervision()
    try:
        return Config(name=name, network=encoder, epochs=epochs, **values)
    except ValidationError as error:
        raise BrainMVPError(f"These options do not go together: {error.errors()[0]['msg']}.") from error
