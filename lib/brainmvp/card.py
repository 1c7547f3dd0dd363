"""A model's card: what it takes, what it gives, what it learned from and where it fails."""

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from brainmvp.errors import BrainMVPError
from brainmvp.networks.config import NetworkConfig
from brainmvp.sequences import Sequence

NOTICE = (
    "Not a medical device. For research and for drafts that a qualified reader corrects; not for diagnosis."
)


_NAME = r"[a-z0-9][a-z0-9_-]*"
# Fields that change nothing of what a model answers.
_SAID_OF_IT = ("title", "data", "metrics", "known_failures", "weak_with", "licence", "notice")


def is_name(name: str) -> bool:
    """Tell whether models may be stored under a name, which becomes a folder's."""
    return re.fullmatch(_NAME, name) is not None


def check_name(name: str) -> str:
    """Return the name under which models may be stored; raises `BrainMVPError` if it is not allowed."""
    if not is_name(name):
        raise BrainMVPError(f"'{name}' is no name for a model; use small letters, digits, - and _.")
    return name


def mark_of(name: str) -> str:
    """Return what a card has in the place of a study's or patient's name, which in a clinic may say who it is.

    Whoever has the name can tell that it is meant; who guesses it can, too.
    """
    return hashlib.sha256(name.encode()).hexdigest()[:16]


class Card(BaseModel):
    """The facts that travel with a model's weights, as `card.json`.

    A segmentation model turns the channels `sequences` (zeros where missing) on an isotropic RAS grid of `spacing`
    mm into one logit per region of `regions`. `window`: voxels per axis that the network sees at once; `overlap`:
    of neighbouring windows, as a fraction. `temperatures`: what the logits are divided by, by region (1 where absent).
    `thresholds`: probability above which a region is there, by region.
    An encoder has no regions; those of a classification are its classes, and `grid` is what the brain's box is resized
    to, in voxels, before `window` is cropped from its middle. `weak_with`: what to know of a result from just these
    sequences (`T1+FLAIR`, in the order of `sequences`), a sentence without its full stop. In `training`, `train` and
    `validation` (studies) and `scans` (patients) are marks, see `mark_of`; older cards have the names.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{_NAME}$")
    version: int = Field(ge=1)
    kind: Literal["segmentation", "classification", "encoder"] = "segmentation"
    task: str | None = None
    title: str
    sequences: tuple[Sequence, ...]
    regions: tuple[str, ...] = ()
    network: NetworkConfig
    spacing: float = Field(gt=0)
    window: tuple[int, int, int]
    overlap: float = Field(default=0.5, ge=0, lt=1)
    grid: tuple[int, int, int] | None = None
    temperatures: dict[str, float] = {}
    thresholds: dict[str, float] = {}
    minimum_lesion_ml: float = Field(default=0.0, ge=0)
    parent: str | None = None
    created: date
    training: dict[str, Any] = {}
    data: tuple[str, ...] = ()
    metrics: dict[str, Any] = {}
    known_failures: tuple[str, ...] = ()
    weak_with: dict[str, str] = {}
    licence: str = "Apache-2.0"
    notice: str = NOTICE

    @property
    def id(self) -> str:
        """The name and version as the reports write it, `tumour@1`."""
        return f"{self.name}@{self.version}"

    def weakness(self, used: Iterable[Sequence]) -> str | None:
        """Return the sentence of `weak_with` on a result from exactly these sequences, in any order."""
        given = set(used)
        return self.weak_with.get("+".join(sequence for sequence in self.sequences if sequence in given))

    @property
    def identity(self) -> str:
        """The id with a mark of what the model is made of: in another release or home, another one may have its id."""
        made_of = self.model_dump_json(exclude={"name", "version", *_SAID_OF_IT})
        return f"{self.id} {hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
