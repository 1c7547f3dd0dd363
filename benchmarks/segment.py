"""`segment` with the built-in model against the published-size network with the published sliding window.

Both take the same study from its files to the label map on the reference's grid, one after the other, each in a
process of its own (for its peak memory). The published-size side runs in this library's faster implementation of it,
so the ratio is a lower bound. Its weights are random: they cost the same.

    python benchmarks/segment.py [STUDY] [--task tumour] [--threads 2] [--out result.json]

Without a study it makes a synthetic one of 240 x 240 x 155 voxels of 1 mm.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

_SHAPE = (240, 240, 155)


def published_model(task_name: str):
    """Return the published-size network as a model: 1 mm, windows of 96 voxels with overlap 0.5 (official script)."""
    from brainmvp.card import Card
    from brainmvp.networks import NetworkConfig
    from brainmvp.tasks import get_task

    task = get_task(task_name)
    network = NetworkConfig.preset("uniformer", len(task.sequences), len(task.regions))
    return Card(
        name="published-size", version=1, task=task_name, title="Published size, random weights",
        sequences=task.sequences, regions=tuple(region.name for region in task.regions), network=network,
        spacing=1.0, window=(96, 96, 96), overlap=0.5, created=date.today(),
    )  # fmt: skip


def measure(side: str, study: str, task: str, threads: int) -> dict:
    """Segment the study once and return seconds (by step and in all) and the peak memory, GiB."""
    import torch

    from brainmvp.modelstore import ModelStore
    from brainmvp.networks import build_network
    from brainmvp.segment import Segmenter
    from brainmvp.study import Study

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as home:
        store = ModelStore(home)
        model = None
        if side == "published":
            torch.manual_seed(0)
            card = published_model(task)
            store.add(card, build_network(card.network).state_dict())
            model = card.name
        segmenter = Segmenter.load(task, model, device="cpu", store=store)
        start = time.perf_counter()
        result = segmenter.segment(Study.from_folder(study))
        seconds = time.perf_counter() - start
    shape = list(result.labels.shape)
    return {
        "seconds": seconds,
        "steps": result.seconds,
        "peak_gib": max(result.peak_gib.values()),
        "model": result.model,
        "shape": shape,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--task", default="tumour")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        study = options.study or synthetic_study(Path(folder) / "patient", options.task)
        results = compare(str(study), options.task, options.threads)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


def synthetic_study(folder: Path, task: str) -> Path:
    """Write a synthetic study with all sequences of the task, of the size of BraTS, and return its folder."""
    from brainmvp.phantom import make_phantom
    from brainmvp.spatial import Grid, resample
    from brainmvp.tasks import get_task
    from brainmvp.volume import Volume, write_volume

    phantom = make_phantom(1, task, spacing=1.0, sequences=get_task(task).sequences, disease=task)
    affine = phantom.affine.copy()
    affine[:3, 3] -= (np.array(_SHAPE) - phantom.labels.shape) // 2
    for sequence, image in phantom.images.items():
        data = resample(Volume(image.numpy(), phantom.affine), Grid(_SHAPE, affine))
        folder.mkdir(exist_ok=True)
        write_volume(Volume(data, affine), folder / f"{folder.name}_{sequence.value.lower()}.nii.gz")
    return folder


def compare(study: str, task: str, threads: int) -> dict:
    """Measure both sides in processes of their own, print them, and return them with the ratios."""
    context = multiprocessing.get_context("spawn")
    results = {}
    for side in ("built-in", "published"):
        with context.Pool(1) as pool:
            results[side] = pool.apply(measure, (side, study, task, threads))
        steps = ", ".join(f"{name} {value:.2f}" for name, value in results[side]["steps"].items())
        print(
            f"{side:>10}: {results[side]['seconds']:7.2f} s ({steps}), peak {results[side]['peak_gib']:.2f} GiB"
        )
    ours, theirs = results["built-in"], results["published"]
    results["speed_ratio"] = theirs["seconds"] / ours["seconds"]
    results["memory_ratio"] = ours["peak_gib"] / theirs["peak_gib"]
    print(f"{results['speed_ratio']:.1f} times faster, {results['memory_ratio']:.2f} of the memory")
    return results


if __name__ == "__main__":
    sys.exit(main())
