"""What the strategies are worth on a labelled cohort: an oracle annotates, a model learns, the test Dice is drawn."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from brainmvp.modelstore import Model
from brainmvp.selection import STRATEGIES, Facts, Place, Pool
from brainmvp.selection.uncertainty import region_entropies
from brainmvp.tasks import Task
from brainmvp.training.short import Brain, learn_shortly, region_dice, region_probabilities

RANDOM, FOREGROUND = "random", "random-foreground"
# Of the draws of foreground-aware random: two thirds show the disease (nnActive's "random 66 % foreground").
_FOREGROUND_SHARE = 2 / 3
# Of the studies that can be labelled, a seed has so many.
_KEPT = 3 / 4


@dataclass(frozen=True)
class Cohort:
    """Labelled studies by id.

    pool: those that can be labelled, with their embeddings; test: those that the Dice is taken on; spacing: mm.
    """

    pool: dict[str, Brain]
    test: dict[str, Brain]
    embeddings: dict[str, np.ndarray]
    spacing: float

    def part(self, seed: int) -> "Cohort":
        """Return the cohort with a random part of its pool, so that what one study does is not taken for a rule."""
        kept = sorted(random.Random(seed).sample(sorted(self.pool), round(_KEPT * len(self.pool))))
        vectors = {name: self.embeddings[name] for name in kept}
        return Cohort({name: self.pool[name] for name in kept}, self.test, vectors, self.spacing)


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    start: the model that is served before the first label; budgets: numbers of labels, rising, at each of which a model
    learns anew from it for a number of steps.
    """

    task: Task
    cohort: Cohort
    start: Model
    budgets: tuple[int, ...]
    steps: int
    lr: float
    device: torch.device


@dataclass
class Curve:
    """The test Dice of one strategy and seed at each number of labels, and the studies in the order they came."""

    strategy: str
    seed: int
    labels: list[int] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


class Simulation:
    """Replays the annotation of one seed's part of a cohort. All strategies share it, the start and the steps."""

    def __init__(self, setting: Setting, seed: int, tell: Callable[[str], None]) -> None:
        """seed: of the studies that are left out, of every draw and of the training."""
        self._setting, self.seed, self._tell = setting, seed, tell
        self._cohort = setting.cohort.part(seed)
        self._learned: dict[frozenset[str], tuple[torch.nn.Module, float]] = {}

    @property
    def size(self) -> int:
        """The number of studies that can be labelled."""
        return len(self._cohort.pool)

    @cached_property
    def _before_labels(self) -> dict[str, dict[str, float]]:
        return self._entropies(self._start(), set())

    def before(self) -> float:
        """Return the test Dice of the model that is served before the first label."""
        return self._dice(self._start())

    def full(self) -> float:
        """Return the test Dice of a model that learned from the whole pool."""
        return self._learn(list(self._cohort.pool))[1]

    def run(self, strategy: str) -> Curve:
        """Return the curve of a strategy."""
        seed, curve = self.seed, Curve(strategy, self.seed)
        asks = strategy in ("uncertainty", "hybrid")
        entropies = self._before_labels if asks else {}
        for budget in (min(budget, self.size) for budget in self._setting.budgets):
            order = self._order(strategy, curve.order, entropies)
            curve.order += [place.id for place in order[: budget - len(curve.order)]]
            network, dice = self._learn(curve.order)
            curve.labels.append(budget)
            curve.dice.append(dice)
            self._tell(f"{strategy}, seed {seed}: {budget} labels, Dice {dice:.3f}")
            if asks:
                entropies = self._entropies(network, set(curve.order))
        return curve

    def _order(
        self, strategy: str, labelled: list[str], entropies: dict[str, dict[str, float]]
    ) -> list[Place]:
        facts = {
            study: Facts(study, vector, entropies.get(study, {}))
            for study, vector in self._cohort.embeddings.items()
        }
        still_open = tuple(facts[study] for study in facts if study not in labelled)
        pool = Pool(still_open, tuple(facts[study] for study in labelled), self.seed)
        if strategy == FOREGROUND:
            return self._foreground_order(pool)
        return STRATEGIES[strategy](pool)

    def _foreground_order(self, pool: Pool) -> list[Place]:
        """Return a random order in which two thirds of the draws, as long as they last, show the disease."""
        waiting, order = STRATEGIES[RANDOM](pool), []
        while waiting:
            wanted = pool.draw(f"{len(pool.labelled) + len(order)}", "foreground") < _FOREGROUND_SHARE
            shown = (place for place in waiting if wanted and self._cohort.pool[place.id].labels.any())
            chosen = next(shown, waiting[0])
            waiting.remove(chosen)
            order.append(chosen)
        return order

    def _learn(self, studies: list[str]) -> tuple[torch.nn.Module, float]:
        """Return a model that learned from some studies, and its test Dice; strategies that chose the same share it."""
        key = frozenset(studies)
        if key not in self._learned:
            setting = self._setting
            network = learn_shortly(
                self._start(), setting.task,
                [self._cohort.pool[study] for study in sorted(studies)], window=self._window,
                steps=setting.steps, lr=setting.lr, seed=self.seed,
            )  # fmt: skip
            self._learned[key] = network, self._dice(network)
        return self._learned[key]

    def _dice(self, network: torch.nn.Module) -> float:
        tested = list(self._cohort.test.values())
        return float(np.nanmean(region_dice(network, self._setting.task, tested, self._stride)))

    def _start(self) -> torch.nn.Module:
        return self._setting.start.load_network().to(self._setting.device)

    def _entropies(self, network: torch.nn.Module, labelled: set[str]) -> dict[str, dict[str, float]]:
        names = [region.name for region in self._setting.task.regions]
        result = {}
        for study in self._cohort.pool.keys() - labelled:
            probabilities = region_probabilities(network, self._cohort.pool[study], self._stride).numpy()
            by_name = dict(zip(names, probabilities, strict=True))
            result[study] = region_entropies(by_name, self._cohort.spacing**3 / 1000)
        return result

    @property
    def _stride(self) -> int:
        return self._setting.start.card.network.stride

    @property
    def _window(self) -> tuple[int, int, int]:
        """What the start takes; not more than the largest brain needs."""
        largest = [max(brain.labels.shape[axis] for brain in self._cohort.pool.values()) for axis in range(3)]
        x, y, z = (
            min(edge, -(-size // self._stride) * self._stride)
            for edge, size in zip(self._setting.start.card.window, largest, strict=True)
        )
        return x, y, z
