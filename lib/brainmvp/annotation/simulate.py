"""What the strategies are worth on a labelled cohort: an oracle annotates, a model learns, the test Dice is drawn."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.finetune import FineTuned, finetune
from brainmvp.finetune.prepared import Preparation
from brainmvp.finetune.segmentation import SegmentationProblem
from brainmvp.modelstore import Model
from brainmvp.networks import build_network
from brainmvp.selection import STRATEGIES, Facts, Place, Pool
from brainmvp.selection.embed import Embedder
from brainmvp.selection.uncertainty import region_entropies
from brainmvp.tasks import Recipe, Task

RANDOM, FOREGROUND = "random", "random-foreground"
# Of the draws of foreground-aware random: two thirds show the disease (nnActive's "random 66 % foreground").
_FOREGROUND_SHARE = 2 / 3


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    pool: the studies that can be labelled; test: those that the Dice is taken on; budgets: numbers of labels, rising,
    at each of which a model learns anew from `start`; encoder: whose embeddings describe the studies.
    """

    task: Task
    pool: list[Case]
    test: list[Case]
    start: Model
    recipe: Recipe
    budgets: tuple[int, ...]
    encoder: Model
    folder: Path
    device: str = "cpu"


@dataclass
class Curve:
    """The test Dice of one strategy and seed at each number of labels, and the studies in the order they came."""

    strategy: str
    seed: int
    labels: list[int] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


class Simulation:
    """Replays an annotation. All strategies share prepared studies, embeddings, start and recipe."""

    def __init__(self, setting: Setting, tell: Callable[[str], None]) -> None:
        self._setting = setting
        self._tell = tell
        card = setting.start.card
        cases = [*setting.pool, *setting.test]
        if len({case.id for case in cases}) < len(cases):
            raise BrainMVPError("Two studies have the same name; rename one of them.")
        prepared = Preparation(setting.task, card.spacing).all(cases, setting.folder / "prepared")
        self._prepared = {case.id: one for case, one in zip(cases, prepared, strict=True)}
        self._cases = {case.id: case for case in cases}
        embedder = Embedder(setting.encoder, setting.device)
        self._embeddings = {case.id: embedder.embed(case.study) for case in setting.pool}
        self._learned: dict[tuple[frozenset[str], int], FineTuned] = {}
        self._problem = SegmentationProblem(
            setting.task, setting.recipe, card.window, card.overlap, card.thresholds, {}
        )

    def full(self, seed: int) -> float:
        """Return the test Dice of a model that learned from the whole pool."""
        return self._dice(self._learn([case.id for case in self._setting.pool], seed))

    def run(self, strategy: str, seed: int) -> Curve:
        """Return the curve of a strategy."""
        curve = Curve(strategy, seed)
        entropies: dict[str, dict[str, float]] = {}
        for budget in self._setting.budgets:
            while len(curve.order) < budget:
                order = self._order(strategy, seed, curve.order, entropies)
                curve.order += [place.id for place in order[: budget - len(curve.order)]]
            tuned = self._learn(curve.order, seed)
            curve.labels.append(budget)
            curve.dice.append(self._dice(tuned))
            self._tell(f"{strategy}, seed {seed}: {budget} labels, Dice {curve.dice[-1]:.3f}")
            if strategy in ("uncertainty", "hybrid"):
                entropies = self._entropies(tuned, set(curve.order))
        return curve

    def _order(
        self, strategy: str, seed: int, labelled: list[str], entropies: dict[str, dict[str, float]]
    ) -> list[Place]:
        facts = {
            study: Facts(study, vector, entropies.get(study, {}))
            for study, vector in self._embeddings.items()
        }
        still_open = tuple(facts[study] for study in facts if study not in labelled)
        pool = Pool(still_open, tuple(facts[study] for study in labelled), seed)
        if strategy == FOREGROUND:
            return self._foreground_order(pool)
        return STRATEGIES[strategy](pool)

    def _foreground_order(self, pool: Pool) -> list[Place]:
        """Return a random order in which two thirds of the draws, as long as they last, show the disease."""
        waiting, order = STRATEGIES[RANDOM](pool), []
        while waiting:
            wanted = pool.draw(f"{len(pool.labelled) + len(order)}", "foreground") < _FOREGROUND_SHARE
            shown = (place for place in waiting if wanted and self._prepared[place.id].labels.any())
            chosen = next(shown, waiting[0])
            waiting.remove(chosen)
            order.append(chosen)
        return order

    def _learn(self, studies: list[str], seed: int) -> FineTuned:
        """Return a model that learned from some studies, from the start, in a fixed number of steps.

        Strategies that chose the same studies share it.
        """
        key = (frozenset(studies), seed)
        if key not in self._learned:
            self._learned[key] = self._fine_tuned(sorted(studies), seed)
        return self._learned[key]

    def _fine_tuned(self, studies: list[str], seed: int) -> FineTuned:
        setting = self._setting
        recipe = setting.recipe.model_copy(update={"seed": seed})
        train = [self._cases[study] for study in studies]
        with tempfile.TemporaryDirectory(dir=setting.folder) as run:
            # Validation chooses nothing: it comes once, at the end of the fixed number of steps.
            return finetune(
                setting.task, train, setting.test[:1], setting.start, recipe, run, device=setting.device,
                cache=setting.folder / "prepared", workers=1,
            )  # fmt: skip

    def _network(self, tuned: FineTuned) -> torch.nn.Module:
        network = build_network(tuned.card.network)
        network.load_state_dict(tuned.weights)
        return network.to(self._setting.device).eval()

    @torch.inference_mode()
    def _dice(self, tuned: FineTuned) -> float:
        network = self._network(tuned)
        rows = [self._problem.predict(network, self._prepared[case.id]) for case in self._setting.test]
        return float(np.nanmean(np.stack(rows)))

    @torch.inference_mode()
    def _entropies(self, tuned: FineTuned, labelled: set[str]) -> dict[str, dict[str, float]]:
        network, voxel_ml = self._network(tuned), self._setting.start.card.spacing**3 / 1000
        names = [region.name for region in self._setting.task.regions]
        result = {}
        for study in self._embeddings.keys() - labelled:
            probabilities = self._problem.probabilities(network, self._prepared[study])
            result[study] = region_entropies(dict(zip(names, probabilities, strict=True)), voxel_ml)
        return result
