"""How a task is learned and judged: data that travels with the task, so that a run is told by one file."""

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

# What the published fine-tuning does differently from ours; each can be had back by name, for comparison.
PUBLISHED = {
    "stem": "throw the pretrained first convolution away, also for tasks of one sequence (ours: share it out)",
    "head": "let a new head call every voxel one half at first (ours: that there is nothing)",
    "steps": "begin with the full learning rate, gradients of any size (ours: rise over 60 steps, clip them)",
    "pairs": "split doubled channels in the middle, so that a pair shows different sequences (ours: the same)",
    "templates": "paste only templates, with the intensities they were learned in (ours: or zeros; scaled to 0...1)",
    "regions": "read every label as BraTS until 2021: enhancing tumour of 2023 is in no region (ours: the task's)",
    "flips": "flip all three axes together or none (ours: each by itself)",
    "crops": "place every crop at random (ours: a third of them on a labelled voxel)",
    "selection": "choose the best weights by the test cases (ours: by validation cases only)",
}
Published = Literal[
    "stem", "head", "steps", "pairs", "templates", "regions", "flips", "crops", "selection"
]  # fmt: skip


Metric = Literal[
    "dice", "hd95", "lesion_dice", "lesion_f1", "volume_error", "accuracy", "auc", "f1"
]  # fmt: skip


class Record(BaseModel):
    """Data that is read from a file and never changes; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipe(Record):
    """What a fine-tuning is made of. Defaults are the published script's (batch 2, Adam, lr 3e-4, 300 epochs).

    `network` counts from scratch, and so do `spacing` (mm), `window` and `overlap` unless `as_start` is false: a start
    goes on with its own. A classification resizes the brain's box to `grid` voxels and crops `window` of it.
    """

    network: str = "uniformer"
    spacing: PositiveFloat = 1.0
    window: tuple[PositiveInt, PositiveInt, PositiveInt] = (96, 96, 96)
    overlap: float = Field(0.5, ge=0, lt=1)
    as_start: bool = Field(True, description="a start's spacing, window and overlap instead of these")
    grid: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    epochs: PositiveInt = 300
    steps_per_epoch: PositiveInt | None = Field(None, description="None: each study once")
    batch: PositiveInt = 2
    lr: PositiveFloat = 3e-4
    weight_decay: NonNegativeFloat = 1e-4
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the learning rate per level below the head"
    )
    frozen_encoder: bool = False
    mixed: NonNegativeInt = Field(
        3, description="most channels that a template, or nothing, takes the place of"
    )
    pair_weight: NonNegativeFloat = Field(
        0.1, description="of the agreement of two mixed views; 0: one view only"
    )
    validate_every: PositiveInt = Field(5, description="epochs")
    patience: PositiveInt | None = Field(
        None, description="validations without a better one until the run ends"
    )
    seed: NonNegativeInt = 0
    published: frozenset[Published] = Field(frozenset(), description="see `PUBLISHED`")

    @property
    def chooser(self) -> Literal["validation", "test"]:
        """The part of the split that chooses the best weights."""
        return "test" if "selection" in self.published else "validation"


class Split(Record):
    """How studies are shared out, by patient: fractions of all for validation and test, or k folds.

    With folds, or where the index holds patients out, validation is a fraction of those that are left to train on.
    """

    validation: float = Field(0.15, ge=0, lt=1)
    test: float = Field(0.2, ge=0, lt=1)
    folds: int = Field(0, ge=0, description="k-fold cross-validation instead of one test set; 0: none")
    stratify: Literal["none", "class", "size"] = Field(
        "size", description="class, or the volume of what is labelled, in thirds"
    )


class Lesions(Record):
    """What counts as one lesion: parts that touch after so many voxels of dilation, if larger than so many mm³.

    The defaults are those of BraTS 2023 for gliomas; for metastases it has 1 voxel and 2 mm³.
    """

    dilation: NonNegativeInt = 3
    smallest_mm3: NonNegativeFloat = 50.0


class Result(Record):
    """A published number. Overlaps and accuracies are 0...1, distances mm; region `mean` is the mean over regions."""

    metric: Literal["dice", "hd95", "accuracy", "auc", "f1"]
    region: str = "mean"
    value: float
    source: str
    second_hand: bool = Field(description="from a summary of the paper: check before citing")


class DataSet(Record):
    """Where a task's studies come from, and the folder layout that `brainmvp index` reads them in."""

    name: str
    layout: str
    url: str
    citation: str
    notes: tuple[str, ...] = ()
