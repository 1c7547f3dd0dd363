"""A training from the final labels that ends early and goes on."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from labelled import make_cases

from brainmvp.annotation.gate import Comparison
from brainmvp.annotation.held_out import choose_held_out
from brainmvp.annotation.plan import Options, Plan
from brainmvp.annotation.state import AnnotationState
from brainmvp.annotation.status import TrainingStatus
from brainmvp.annotation.training import LabelTraining
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.finetune.prepared import Preparation, remove_study
from brainmvp.modelstore import Model, ModelStore
from brainmvp.study import Study
from brainmvp.tasks import get_task

OPTIONS = Options(epochs=1, steps=1, device="cpu")


@pytest.fixture
def first(tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The served version of a model store of the test's own."""
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    store, model = ModelStore(), ModelStore(tiny_models).resolve("tumour")
    store.serve("tumour", store.add(model.card, model.load_weights()).card.version)
    return model


def submit(case: Case, studies: Path) -> None:
    label = studies / "labels" / "final" / f"{case.id}.nii.gz"
    label.parent.mkdir(parents=True, exist_ok=True)
    case.label.rename(label)


def test_a_labelled_study_that_the_task_cannot_use_stops_no_training(first: Model, tmp_path: Path) -> None:
    task, studies = get_task("tumour"), tmp_path / "cohort"
    *cases, poor = make_cases(task, 7, studies)
    for sequence, image in poor.study.images.items():
        if sequence != "T1":
            image.unlink()
    training = LabelTraining(AnnotationState(studies), task, (task, get_task("stroke")))
    for case in (*cases[1:], poor):
        submit(case, studies)
    with pytest.raises(
        BrainMVPError, match="there are 5; 1 labelled study lacks the sequences that the task"
    ):
        training.check_enough()
    submit(cases[0], studies)
    store = ModelStore()  # as if the served version came from `brainmvp finetune` on an index of everybody
    names = [f"cohort_{case.id}_1" for case in cases]
    card = first.card.model_copy(
        update={"version": store.next_version("tumour"), "training": {"train": names}}
    )
    store.serve("tumour", store.add(card, first.load_weights()).card.version)
    outcome = training.run(OPTIONS, lambda status: None, lambda: False)
    assert outcome.finished
    assert f"But {card.id} has learned from tumour-" in outcome.message


def test_no_training_starts_that_nothing_could_test(first: Model, tmp_path: Path) -> None:
    task, studies = get_task("tumour"), tmp_path / "cohort"
    cases = make_cases(task, 9, studies)
    for case in cases:
        submit(case, studies)
    held_out = choose_held_out(studies, "tumour", [case.id for case in cases], now=0.0)
    training = LabelTraining(AnnotationState(studies), task, (task,))
    assert len(training.check_enough()) == 9
    for patient in held_out.patients:
        (studies / patient).rename(studies / f"new-{patient}")
        (studies / "labels" / "final" / f"{patient}.nii.gz").rename(
            studies / "labels" / "final" / f"new-{patient}.nii.gz"
        )
    with pytest.raises(
        BrainMVPError, match=r"None of the held-out .* write the new ones into .*held-out-tumour\.json"
    ):
        training.check_enough()


def test_only_patients_from_whom_nothing_can_have_learned_become_held_out_later(
    first: Model, tmp_path: Path
) -> None:
    task, state = get_task("tumour"), AnnotationState(tmp_path / "cohort")
    cases = [Case(Study(f"p{n:02d}", tmp_path / "none", {}), patient=f"p{n:02d}") for n in range(40)]
    held_out = choose_held_out(state.studies, "tumour", [case.id for case in cases[:6]], now=0.0)
    store = ModelStore()
    taught = {"train": ["p30", "p31"], "validation": ["p32"]}
    store.add(first.card.model_copy(update={"version": store.next_version("tumour"), "training": taught}), {})
    for name in ("p31", "p32", "p33", "p34", "p35"):
        state.journal.add("final", study=name, task="tumour")
    begun = Plan("tumour@1", ("p33",), ("p34",), {}, {}, 6)
    grown = LabelTraining(state, task, (task,))._held_out(cases, begun, 0)
    assert set(grown.patients) == {
        *held_out.patients,
        "p35",
    }  # the others taught, or may have had another name


def test_a_version_that_is_chosen_while_the_new_one_is_measured_stays_served(
    first: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, store, studies = get_task("tumour"), ModelStore(), tmp_path / "cohort"
    for case in make_cases(task, 6, studies):
        submit(case, studies)
    other = first.card.model_copy(update={"version": store.next_version("tumour")})
    store.add(other, first.load_weights())
    monkeypatch.setattr(Comparison, "passes", property(lambda comparison: True))

    def tell(status: TrainingStatus) -> None:
        if status.state == "measuring":
            store.serve("tumour", other.version)

    state = AnnotationState(studies)
    outcome = LabelTraining(state, task, (task,)).run(OPTIONS, tell, lambda: False)
    assert (outcome.finished, outcome.served, outcome.version) == (True, False, other.version + 1)
    assert store.served("tumour") == other.version
    assert outcome.message.endswith(f"it is kept, and {other.id}, chosen meanwhile, stays served.")
    (event,) = state.journal.events("version")
    assert event.detail["served"] is False


def test_a_training_prepares_only_the_studies_that_are_new_or_changed(
    first: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, studies = get_task("tumour"), tmp_path / "cohort"
    *cases, late = make_cases(task, 7, studies)
    for case in cases:
        submit(case, studies)
    make, made = Preparation._make, []

    def counted(self: Preparation, case: Case) -> Any:
        made.append(case.id)
        return make(self, case)

    monkeypatch.setattr(Preparation, "_make", counted)
    training = LabelTraining(AnnotationState(studies), task, (task,))
    assert training.run(OPTIONS, lambda status: None, lambda: False).finished
    assert len(set(made)) == len(made) == 3  # the others are held out
    changed = min(made)
    os.utime(studies / "labels" / "final" / f"{changed}.nii.gz", ns=(0, 0))
    submit(late, studies)
    made.clear()
    assert training.run(OPTIONS, lambda status: None, lambda: False).finished
    assert set(made) == {changed, late.id}
    kept = [json.loads(path.read_text("utf-8"))["id"] for path in studies.glob(".brainmvp/prepared/*/*.json")]
    assert len(kept) == len(set(kept)) == 4
    remove_study(late.id, studies / ".brainmvp" / "prepared")
    left = list(studies.glob(".brainmvp/prepared/*/*"))
    assert {json.loads(path.read_text("utf-8"))["id"] for path in left if path.suffix == ".json"} == {
        *kept
    } - {late.id}
    assert len({path.name.partition(".")[0] for path in left}) == 3


def test_a_training_ends_when_a_study_that_it_learns_from_is_removed(first: Model, tmp_path: Path) -> None:
    task, studies = get_task("tumour"), tmp_path / "cohort"
    cases = make_cases(task, 6, studies)
    for case in cases:
        submit(case, studies)
    state = AnnotationState(studies)

    def remove(status: TrainingStatus) -> None:
        if status.state == "training":
            for case in cases:
                remove_study(case.id, studies / ".brainmvp" / "prepared")

    with pytest.raises(BrainMVPError, match="was removed while the training learned from it; start it again"):
        LabelTraining(state, task, (task,)).run(OPTIONS, remove, lambda: False)


def test_a_version_that_came_meanwhile_is_not_taken_for_the_runs_own(first: Model, tmp_path: Path) -> None:
    task, store, studies = get_task("tumour"), ModelStore(), tmp_path / "cohort"
    *cases, late = make_cases(task, 7, studies)
    for case in cases:
        submit(case, studies)
    state = AnnotationState(studies)
    training = LabelTraining(state, task, (task,))
    states: list[str] = []

    def tell(status: TrainingStatus) -> None:
        states.append(status.state)

    assert not training.run(OPTIONS, tell, lambda: states[-1:] == ["preparing"]).finished
    assert states == ["preparing"]
    stopped = training.run(OPTIONS, tell, lambda: states[-1:] == ["measuring"])
    assert not stopped.finished
    other = first.card.model_copy(
        update={"version": store.next_version("tumour"), "title": "Of somebody else"}
    )
    store.add(other, first.load_weights())
    submit(late, studies)
    assert (len(training.cases()), training.labels_of_run()) == (7, 6)
    outcome = training.run(OPTIONS, tell, lambda: False)
    assert outcome.version == other.version + 1
    assert store.get("tumour", outcome.version).card.parent == first.card.id
    assert store.get("tumour", other.version).card == other
    assert training.labels_of_run() == 7
