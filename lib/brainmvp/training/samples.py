"""The stream of training samples: phantoms made by worker processes, as the models will see real scans."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from brainmvp.phantom.anatomy import Anatomy
from brainmvp.phantom.generator import make_phantom
from brainmvp.tasks import Task

# Training counts up from the first of these, and never comes as far as the second, from where on seeds are for
# validation; below both are the seeds of `brainmvp phantom` and of the benchmarks, whose patients no model learns from.
TRAINING_SEEDS = 1_000_000_000
VALIDATION_SEEDS = 2_000_000_000

Sample = tuple[Tensor, Tensor]


def make_sample(seed: int, task: Task, difficulty: float, anatomies: list[Anatomy]) -> Sample:
    """Return one phantom on the 2 mm grid: images (C, X, Y, Z) float16, normalised, channels as the task's sequences;
    labels (X, Y, Z) uint8."""
    phantom = make_phantom(
        seed, task.name, difficulty=difficulty, anatomies=anatomies, sequences=task.sequences
    )
    images = torch.stack([phantom.normalised(sequence).half() for sequence in task.sequences])
    return images, phantom.labels


@dataclass
class PhantomStream(IterableDataset):
    """Endless samples of consecutive seeds; several workers share the seeds among them.

    difficulty: of the sample with an index, which counts up from 0; asked in the process that makes it.
    """

    task: Task
    anatomies: list[Anatomy]
    difficulty: Callable[[int], float]
    first_seed: int

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in count(first, step):
            yield make_sample(self.first_seed + index, self.task, self.difficulty(index), self.anatomies)


class SampleBatches:
    """Batches from a stream. workers: processes that make the samples; none takes turns with the training."""

    def __init__(self, stream: PhantomStream, batch: int, workers: int) -> None:
        self._batch = batch
        loader = DataLoader(
            stream, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None,
            worker_init_fn=_one_thread,
        )  # fmt: skip
        self._samples = iter(loader)
        self.made = 0

    def __next__(self) -> Sample:
        """Return images (B, C, X, Y, Z) float16 and labels (B, X, Y, Z) uint8."""
        samples = [next(self._samples) for _ in range(self._batch)]
        self.made += len(samples)
        return torch.stack([images for images, _ in samples]), torch.stack([labels for _, labels in samples])


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
