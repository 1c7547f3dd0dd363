"""Which encoder knows alike studies? The embeddings that active learning spreads its choice by.

    python benchmarks/embedding.py --models encoder,tumour        # about two minutes of one core

Phantoms of the tumour task at 2 mm, of every kind, with the four usual sequences. For each model: how often the nearest
neighbours of a study have its kind (against chance, the share if neighbours were drawn at random), and how well the
mean size of the neighbours' tumours tells its own.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from brainmvp.modelstore import ModelStore
from brainmvp.phantom.generator import make_phantom
from brainmvp.selection.embed import Embedder
from brainmvp.tasks import get_task
from brainmvp.training.short import brain_of

TASK = get_task("tumour")
# Seeds that no model saw.
_FIRST_SEED = 910_000_000
_VOXEL_ML = 0.008


def neighbours(embeddings: np.ndarray, count: int) -> np.ndarray:
    """Return the nearest others of each row of (N, D), (N, count)."""
    apart = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    return np.argsort(apart, axis=1)[:, :count]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="encoder,tumour")
    parser.add_argument("--studies", type=int, default=48)
    parser.add_argument("--neighbours", type=int, default=3)
    chosen = parser.parse_args()
    store = ModelStore()
    embedders = {name: Embedder(store.resolve(name)) for name in chosen.models.split(",")}
    found: dict[str, list[np.ndarray]] = {name: [] for name in embedders}
    seconds = dict.fromkeys(embedders, 0.0)
    kinds, sizes = [], []
    for seed in range(_FIRST_SEED, _FIRST_SEED + chosen.studies):
        phantom = make_phantom(seed, TASK.name, difficulty=0.5, sequences=TASK.sequences)
        kinds.append(str(phantom.facts.get("kind", phantom.facts["disease"])))
        sizes.append(float(torch.count_nonzero(phantom.labels)) * _VOXEL_ML)
        brain = brain_of(phantom, TASK)
        for name, embedder in embedders.items():
            begin = time.process_time()
            found[name].append(embedder.describe(brain.images))
            seconds[name] += time.process_time() - begin
    kind, size = np.array(kinds), np.log1p(sizes)
    chance = float(np.mean([(np.delete(kind, i) == kind[i]).mean() for i in range(len(kind))]))
    print(
        "| encoder | neighbours of the same kind | by chance | sizes, r | s per study |\n|---|---|---|---|---|"
    )
    for name, vectors in found.items():
        near = neighbours(np.stack(vectors), chosen.neighbours)
        same = float((kind[near] == kind[:, None]).mean())
        r = float(np.corrcoef(size[near].mean(1), size)[0, 1])
        print(
            f"| {embedders[name].id} | {same:.2f} | {chance:.2f} | {r:.2f} | {seconds[name] / len(kind):.2f} |"
        )


if __name__ == "__main__":
    main()
