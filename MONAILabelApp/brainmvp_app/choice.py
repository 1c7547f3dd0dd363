"""The next study for an annotator: a strategy's order, minus what others have."""

from dataclasses import replace
from itertools import zip_longest
from threading import Lock
from typing import Any

from brainmvp.annotation.cases import task_of
from brainmvp.annotation.leases import Lease
from brainmvp.annotation.state import AnnotationState
from brainmvp.selection import STRATEGIES, Facts, Place, Pool
from brainmvp.selection.pool import nearest_labelled
from brainmvp.study import Study
from brainmvp_app.datastore import DRAFT, StudyDatastore
from brainmvp_app.errors import RefusedError

_USELESS = "no model here can use its sequences"
_Key = tuple[str, str | None, tuple[str, ...], tuple[str, ...], int]


class Chooser:
    """Chooses from the scores that are there: no model runs, and no study is read."""

    def __init__(self, datastore: StudyDatastore, state: AnnotationState, seed: int) -> None:
        self._datastore = datastore
        self._state = state
        self._seed = seed
        self._orders: dict[tuple[str, str | None], tuple[_Key, Pool, list[Place]]] = {}
        self._ordering = Lock()
        self._tasks: tuple[dict[str, Study], dict[str, str | None]] = {}, {}
        self._useless: set[str] = set()  # the studies whose sequences no task can use

    def choose(self, strategy: str, annotator: str, task: object = None) -> dict[str, Any]:
        """Lease the annotator the next study, and say why it.

        Where the others have all that are left, only `why` is returned, without an `id`; nothing if none is left.

        task: only studies of this task; else the tasks of the cohort take turns. Raises `RefusedError` (404) for a
        task that the server does not have.
        """
        names = [each.name for each in self._datastore.tasks]
        if task is not None and task not in names:
            raise RefusedError(404, f"There is no task {task!r}; use {', '.join(names)}.")
        while True:
            order = self._ordered(strategy, task)
            lease = self._state.leases.take([place.id for place, _ in order], annotator)
            if lease is None:
                return self._all_with_others([place.id for place, _ in order])
            if self._is_open(lease.study):
                break
            self._state.leases.forget(lease.study)  # labelled, or deleted, since the studies were listed
        lease = self._with_own_draft(lease)
        rank, (place, pool) = next(
            (number, entry) for number, entry in enumerate(order, 1) if entry[0].id == lease.study
        )
        self._state.journal.add(
            "proposed", study=place.id, annotator=annotator, detail={"strategy": strategy}
        )
        why = _why(strategy, place, rank, len(order), nearest_labelled(pool, place.id))
        return {"id": place.id, "weight": place.score, "why": why, "lease": lease.as_json()}

    def _all_with_others(self, studies: list[str]) -> dict[str, Any]:
        held = [lease for study in studies if (lease := self._state.leases.holder(study))]
        if not held:
            return {}
        first = min(held, key=lambda lease: lease.expires).as_json()["expires"]
        sentence = (
            f"Other annotators have all of the studies without a final label, {len(studies)}; the first comes free at "
            f"{first}, unless it is given back before."
        )
        return {"why": {"sentence": sentence}}

    def _with_own_draft(self, lease: Lease) -> Lease:
        """Return a lease that knows of its annotator's draft, also if the study was with somebody else since."""
        if not lease.annotator or self._datastore.drawn_by(lease.study, DRAFT) != lease.annotator:
            return lease
        self._state.leases.renew(lease.study, lease.annotator)
        return replace(lease, draft=True)

    def _is_open(self, study: str) -> bool:
        return study in self._datastore.get_unlabeled_images()

    def _ordered(self, strategy: str, task: object) -> list[tuple[Place, Pool]]:
        """Return all open studies in the order of the strategy: those of several tasks in turn, useless ones last."""
        with self._datastore.turns.take():
            labelled = self._by_task(self._datastore.get_labeled_images())
            copies = self._datastore.copies()
            open_studies = self._by_task(
                [study for study in self._datastore.get_unlabeled_images() if study not in copies]
            )
            useless = self._useless
        wanted = [name for name in open_studies if task is None or name == task]
        with self._ordering:
            ordered = [
                self._order(strategy, name, open_studies[name], labelled.get(name, [])) for name in wanted
            ]
        in_turn = [
            (place, pool)
            for row in zip_longest(*([(place, pool) for place in places] for pool, places in ordered))
            for place, pool in filter(None, row)
        ]
        last = [(replace(place, reason=_USELESS), pool) for place, pool in in_turn if place.id in useless]
        return [entry for entry in in_turn if entry[0].id not in useless] + last

    def _by_task(self, studies: list[str]) -> dict[str | None, list[str]]:
        known = self._datastore.catalogue.studies
        if self._tasks[0] is not known:  # the catalogue makes a new table when the disk has changed
            tasks = self._datastore.tasks
            found = {study.id: task_of(study, tasks) for study in known.values()}
            self._useless = {
                study.id for study in known.values() if not any(t.accepts(set(study.images)) for t in tasks)
            }
            self._tasks = known, {study: task.name if task else None for study, task in found.items()}
        groups: dict[str | None, list[str]] = {}
        for study in sorted(studies):
            groups.setdefault(self._tasks[1][study], []).append(study)
        return groups

    def _order(
        self, strategy: str, task: str | None, open_studies: list[str], labelled: list[str]
    ) -> tuple[Pool, list[Place]]:
        key = (strategy, task, tuple(open_studies), tuple(labelled), self._state.scores.revision)
        kept = self._orders.get((strategy, task))
        if kept is None or kept[0] != key:
            facts = self._state.scores.facts(task) if task else {}
            pool = Pool(
                tuple(facts.get(study) or Facts(study) for study in open_studies),
                tuple(facts.get(study) or Facts(study) for study in labelled),
                self._seed,
            )
            kept = (key, pool, STRATEGIES[strategy](pool))
            self._orders[strategy, task] = kept
        return kept[1], kept[2]


def _why(strategy: str, place: Place, rank: int, of: int, nearest: str | None) -> dict[str, Any]:
    similar = f" The most similar labelled study is {nearest}." if nearest else ""
    sentence = f"Chosen because {place.reason}; number {rank} of {of}.{similar}"
    return {
        "strategy": strategy, "score": place.score, "rank": rank, "of": of, "nearest_labelled": nearest,
        "sentence": sentence,
    }  # fmt: skip
