"""How many phantoms a second one core makes at 2 mm, at full difficulty with the sequences of each task.

python benchmarks/phantoms.py [--count 20] [--patients FOLDER]
"""

import argparse
import time
from pathlib import Path

import torch

from brainmvp.phantom.anatomy import load_anatomies
from brainmvp.tasks import get_task
from brainmvp.training.samples import make_sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument(
        "--patients", type=Path, help="real brains besides the atlas (see brainmvp train-builtin)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    anatomies = load_anatomies(2.0, options.patients)
    for name in ("tumour", "stroke"):
        task = get_task(name)
        make_sample(0, task, 1.0, anatomies)
        start, processor = time.perf_counter(), time.process_time()
        for seed in range(1, options.count + 1):
            make_sample(seed, task, 1.0, anatomies)
        wall, used = time.perf_counter() - start, time.process_time() - processor
        print(
            f"{name}: {options.count / used:.1f} a second of processor time, {options.count / wall:.1f} by the clock"
        )


if __name__ == "__main__":
    main()
