"""The two published recipes of the method: the paper's text and the official script do not agree."""

from __future__ import annotations

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

# Length of the published training, to which the recipes' epochs refer (paper; official script).
EPOCHS = 1500


class Recipe(BaseModel):
    """What the proxy tasks are made of; how they are optimised is not a part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask_rate: float = Field(gt=0, lt=1, description="share of the blocks that do not show the own sequence")
    block: PositiveInt = Field(
        8, description="edge of a masked block, voxels (official code: mask_block_size)"
    )
    all_sequences: bool = Field(
        description="reconstruct every sequence in each step; else one position of each study"
    )
    first_weight: NonNegativeFloat = Field(description="weight of view 1's reconstruction (own template)")
    second_weight: NonNegativeFloat = Field(
        description="weight of view 2's reconstruction (another sequence)"
    )
    contrast_weight: NonNegativeFloat
    temperature: PositiveFloat = Field(1.0, description="of the contrast (official code passes 1.0)")
    template_until: int = Field(description="last epoch in which view 2 shows the template too; -1: never")
    contrast_from: NonNegativeInt = Field(description="first epoch with the contrastive loss")
    epsilon: PositiveFloat = Field(
        1e-9,
        description="added to a template's range; templates start at zero, so it is the first step's divisor",
    )

    def for_epochs(self, epochs: int) -> Recipe:
        """Return the recipe of a training of another length: its phases begin after the same share of it."""
        gates = {name: getattr(self, name) for name in ("template_until", "contrast_from")}
        return self.model_copy(
            update={
                name: epoch if epoch < 0 else round(epoch * epochs / EPOCHS) for name, epoch in gates.items()
            }
        )

    def shows_other_sequence(self, epoch: int) -> bool:
        """Tell whether view 2 is filled from another sequence of the study."""
        return epoch > self.template_until

    def contrasts(self, epoch: int) -> bool:
        """Tell whether the contrastive loss counts."""
        return epoch >= self.contrast_from and self.contrast_weight > 0


RECIPES = {
    # BrainMVP, CVPR 2025: the masking ratio of 87.5 %, equal weights of the losses, the sum over all sequences of a
    # study, contrast in the last third of 1500 epochs. Epsilon is ours: the script's multiplies the first gradient
    # of a zero template by 1e9, which no gradient clipping and no half precision survives.
    "paper": Recipe(
        mask_rate=0.875, all_sequences=True, first_weight=1, second_weight=1, contrast_weight=1,
        template_until=-1, contrast_from=1000, epsilon=1e-3,
    ),
    # Official repository, `do_pretrain.sh` and `models/` at commit a466bb2.
    "script": Recipe(
        mask_rate=0.8, all_sequences=False, first_weight=10, second_weight=1, contrast_weight=1,
        template_until=300, contrast_from=1000,
    ),
}  # fmt: skip
