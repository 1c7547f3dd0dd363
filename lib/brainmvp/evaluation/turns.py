"""Who is judged by whom: one model by all cases, or each model of a cross-validation by those that it never saw."""

from collections.abc import Iterator
from dataclasses import dataclass

from brainmvp.card import Card, mark_of
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.study import study_id
from brainmvp.tasks import Task, get_task


@dataclass(frozen=True)
class Turn:
    """A model and the cases that it is tested on; a cross-validation has one turn for each fold."""

    model: Model
    cases: list[Case]


def check_fits(model: Model, task: Task) -> None:
    """Raise `BrainMVPError` unless a model is of the task, or of one that finds the same, such as what it extends."""
    if model.card.task and model.card.task != task.name:
        other = get_task(model.card.task)
        if _finds(other) == _finds(task):
            return
    model.check_task(task.name)


def _finds(task: Task) -> tuple[object, ...]:
    return task.kind, task.outputs, [set(region.labels) for region in task.regions]


def names(turns: list[Turn]) -> str:
    """Return the models of an evaluation, by name and version."""
    return ", ".join(turn.model.card.id for turn in turns)


def taught(
    model: Model, cases: list[Case], everyone: list[Case], store: ModelStore, by: str = "train"
) -> dict[str, str]:
    """Return the patients of cases from whom a model has learned, and which version of its line did.

    A model also knows what those knew that it was fine-tuned from. everyone: all studies of the cohort, since another
    visit of a patient teaches, too; by: "train", "validation" for the patients that chose a version, or "scans" for
    those whose scans a pretraining saw, without labels. The annotation loop knows a study by its folder's name only.
    """
    patients = _patients_by_name(everyone)
    tested = {case.group for case in cases}
    seen: dict[str, str] = {}
    for card in _line(model.card, store):
        known = {patient for name in card.training.get(by, ()) for patient in patients.get(name, ())}
        for patient in sorted(known & tested):
            seen.setdefault(patient, card.id)
    return seen


def taught_by_others(model: Model, everyone: list[Case], store: ModelStore) -> dict[str, int]:
    """Return which versions of a model's line learned from studies none of which a cohort has by name, and how many.

    They are of another cohort, or of this one in a folder of another name.
    """
    known = _patients_by_name(everyone)
    learned = {card.id: card.training.get("train", ()) for card in _line(model.card, store)}
    return {
        version: len(names) for version, names in learned.items() if names and not known.keys() & set(names)
    }


def _patients_by_name(cases: list[Case]) -> dict[str, set[str]]:
    patients: dict[str, set[str]] = {}
    for case in cases:
        for name in (case.id, study_id(case.study.folder), case.group):
            for said in (mark_of(name), name):  # older cards have the names themselves
                patients.setdefault(said, set()).add(case.group)
    return patients


def check_untaught(turns: list[Turn], everyone: list[Case], store: ModelStore, remedy: str) -> None:
    """Raise `BrainMVPError` if a model has learned from a patient that it is to be tested on."""
    for turn in turns:
        for patient, version in taught(turn.model, turn.cases, everyone, store).items():
            name = turn.model.card.id
            who = "it" if version == name else f"its start {version}"
            raise BrainMVPError(
                f"{name} would be tested on {patient}, from whom {who} has learned; {remedy}."
            )


def _line(card: Card, store: ModelStore) -> Iterator[Card]:
    """Yield a card and those of the models that it came from, as far as the store has them."""
    known: set[str] = set()
    while card.id not in known:
        known.add(card.id)
        yield card
        try:
            if card.parent:
                card = store.resolve(card.parent).card
        except BrainMVPError:  # it was made elsewhere
            return
