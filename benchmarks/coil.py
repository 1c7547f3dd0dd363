"""Whether N4 helps the built-in model in heads with a skull: whole-tumour Dice without it and with it.

    python benchmarks/coil.py [--heads 3] [--seed 9500] [--out result.json]

Made-up patients with a tumour that training did not see, in heads that training did not see, at 2 mm. A smooth field,
one for all sequences of a head as one coil has it, brightens places over others; the skull is then found and left out
as in `brainmvp segment`. Truth: the phantom's labels.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from brainmvp.dice import dice
from brainmvp.modelstore import ModelStore
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.skull import head_room, smooth_noise, with_head
from brainmvp.segment import Segmenter
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

_SPACING = 2.0
_CORRELATION_MM = 70.0
# Standard deviation of the field's logarithm.
_STRENGTHS = (0.0, 0.25, 0.45)
_TASK = get_task("tumour")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--seed", type=int, default=9500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = ModelStore().resolve_for(_TASK.name)
    evening, plain = Segmenter(model, "cpu"), Segmenter(model, "cpu", even_out=())
    seeds = range(options.seed, options.seed + options.heads)
    rows = [row for seed in seeds for row in measured(seed, evening, plain)]
    for strength in _STRENGTHS:
        pairs = [(row["without"], row["with"]) for row in rows if row["strength"] == strength]
        without, corrected = np.mean(pairs, 0)
        print(
            f"strength {strength}: whole tumour {without:.2f} without N4, {corrected:.2f} with it, {len(pairs)} heads"
        )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def measured(seed: int, evening: Segmenter, plain: Segmenter) -> list[dict]:
    """Return one row for each strength of the field: the Dice of a segmenter that evens it out, and of a plain one."""
    phantom = make_phantom(
        seed, _TASK.name, spacing=_SPACING, difficulty=0.3, sequences=_TASK.sequences, disease=_TASK.name
    )
    head = with_head(phantom, seed)
    brain = head.pop("brain").data
    truth = np.pad(phantom.labels.numpy() > 0, head_room(_SPACING))
    noise = smooth_noise(brain.shape, np.random.default_rng(seed), _CORRELATION_MM / _SPACING)
    rows = []
    for strength in _STRENGTHS:
        field = np.exp(strength * noise)
        low, high = np.percentile(field[brain], (1, 99))
        uneven = {name: Volume(image.data * field, image.affine) for name, image in head.items()}
        with tempfile.TemporaryDirectory() as folder:
            for name, image in uneven.items():
                write_volume(image, Path(folder, f"head_{name.lower()}.nii.gz"))
            study = Study.from_folder(folder)
            corrected = dice(evening.segment(study).labels.data > 0, truth)
            without = dice(plain.segment(study).labels.data > 0, truth)
        rows.append({"head": seed, "strength": strength, "fold": float(high / low), "without": without,
                     "with": corrected})  # fmt: skip
        print(
            "  head {head}, brain {fold:.1f}-fold: whole tumour {without:.2f}, with N4 {with:.2f}".format(
                **rows[-1]
            ),
            flush=True,
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
