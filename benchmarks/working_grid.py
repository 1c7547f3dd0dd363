"""What a coarser working grid costs: the Dice that a model without a fault would reach, and the lesions it would lose.

    python benchmarks/working_grid.py [--scans FOLDER] [--phantoms 12] [--spacing 2]

Each region of each label goes to the working grid and back, as a model's answer does, and is compared with itself.
FOLDER holds `tumour/` and `stroke/` with one labelled study per sub-folder; the phantoms have voxels of 1 mm.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from builtin_models import FIRST_SEED, lesions_found, with_labels

from brainmvp.dice import dice
from brainmvp.phantom.generator import make_phantom
from brainmvp.spatial import Grid, put_back, ras_grid, resample
from brainmvp.tasks import Task, get_task
from brainmvp.volume import Volume, read_volume


def there_and_back(mask: np.ndarray, affine: np.ndarray, spacing: float) -> np.ndarray:
    """Return a mask (X, Y, Z) bool as it is after a working grid of a spacing in mm."""
    grid = ras_grid(mask, affine, spacing)
    coarse = resample(Volume(mask.astype(np.float32), affine), grid)
    return put_back(coarse[None], grid, Grid(mask.shape, affine))[0] > 0.5


def labels(task: Task, scans: Path | None, phantoms: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield kind, label map (X, Y, Z) and affine of each case."""
    if scans:
        for study, found in with_labels(scans / task.name, task):
            yield "real", found, read_volume(study.label).affine
    for number in range(phantoms):
        phantom = make_phantom(
            FIRST_SEED + number, task.name, spacing=1.0, disease=task.name, sequences=task.sequences[:1]
        )
        yield "phantoms", phantom.labels.numpy(), phantom.affine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", type=Path)
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--spacing", type=float, default=2.0, help="mm")
    chosen = parser.parse_args()
    for task in (get_task("tumour"), get_task("stroke")):
        scores: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
        for kind, found, affine in labels(task, chosen.scans, chosen.phantoms):
            for region, mask in task.regions_of(found).items():
                if mask.any():
                    back = there_and_back(mask, affine, chosen.spacing)
                    scores.setdefault((kind, region), []).append(
                        (dice(back, mask), *lesions_found(back, mask))
                    )
        for (kind, region), rows in scores.items():
            overlaps, kept, count = zip(*rows, strict=True)
            print(
                f"{task.name}, {kind}, {region}: Dice {np.mean(overlaps):.3f} ({min(overlaps):.3f} at worst, "
                f"{len(rows)} cases); {sum(kept)} of {sum(count)} lesions of 20 voxels or more kept",
                flush=True,
            )


if __name__ == "__main__":
    main()
