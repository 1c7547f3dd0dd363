"""What a training run is: one small record that goes into the model's card."""

from pydantic import BaseModel, ConfigDict, Field


class TrainingPlan(BaseModel):
    """The numbers of a run; with the seed they determine it.

    samples: new phantoms in all; batch: per step; echo: steps per new batch, drawn with augmentation from the last
    `pool` phantoms; easy: share of the run over which difficulty rises from 0 to 1; grid: voxels; spacing: mm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    networks: tuple[str, ...] = ("unet-compact", "uniformer-compact")
    samples: int = Field(default=24_000, ge=1)
    batch: int = Field(default=4, ge=1)
    echo: int = Field(default=2, ge=1)
    pool: int = Field(default=192, ge=1)
    easy: float = Field(default=0.6, ge=0, le=1)
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: int = 200
    average: float = Field(
        default=0.999, description="decay of the moving average of the weights, which is shipped"
    )
    grid: tuple[int, int, int] = (80, 96, 80)
    spacing: float = 2.0
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return -(-self.samples // self.batch) * self.echo
