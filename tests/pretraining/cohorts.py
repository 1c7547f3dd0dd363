"""Small cohorts of stripped heads at 3 mm, configurations for them, and what their runs log, for the tests."""

import json
from pathlib import Path
from typing import Any

from heads import centre_of, head, oblique

from brainmvp.cohort import Index
from brainmvp.cohort.scan import index_folder
from brainmvp.networks import NetworkConfig
from brainmvp.volume import write_volume
from pretraining.run.config import Config, named_config

SMALL = NetworkConfig(backbone="unet", in_channels=1, out_channels=1, widths=(8, 16), depths=(1, 1))

_SHAPE = (18, 20, 18)


def cohort(root: Path, studies: dict[str, str]) -> Index:
    """Write studies (name: sequences) and return their index."""
    affine = oblique((3.0, 3.0, 3.0), "LPS")
    for number, (name, sequences) in enumerate(studies.items()):
        for sequence in sequences.split():
            image = head(_SHAPE, affine, centre_of(_SHAPE, affine), 10 * number + len(sequence))
            write_volume(image, root / name / f"{name}_{sequence}.nii.gz")
    return index_folder(root)[0]


def make_config(name: str = "paper", **changes: Any) -> Config:
    """Return a configuration for the tiny index: `epochs` passes over four studies, two of them per step."""
    values = {"spacing": 4.0, "patch": (16, 16, 16), "batch": 2, "accumulate": 1, "epochs": 3, **changes}
    network = values.pop("network", SMALL)
    return named_config(name, "unet-compact", **values).model_copy(update={"network": network})


def read_losses(run: Path) -> list[list[float]]:
    """Return the losses, gradient norms and learning rates of a run, by step."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [record for record in records if "total" in record]
    assert [record["step"] for record in steps] == list(range(1, len(steps) + 1))
    names = ("total", "first", "second", "contrast", "gradient_norm", "learning_rate")
    return [[record[name] for name in names] for record in steps]
