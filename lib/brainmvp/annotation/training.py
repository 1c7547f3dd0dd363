"""A model version from the final labels: fine-tune the served one, measure it, serve it only if it is not worse."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainmvp.annotation.cases import patient_of
from brainmvp.annotation.gate import Comparison
from brainmvp.annotation.held_out import (
    LEFT,
    SMALLEST,
    HeldOut,
    choose_held_out,
    held_out_path,
    read_held_out,
)
from brainmvp.annotation.plan import Options, Plan
from brainmvp.annotation.state import AnnotationState
from brainmvp.annotation.status import TrainingStatus
from brainmvp.annotation.taught import taught_patients
from brainmvp.card import Card
from brainmvp.case import Case
from brainmvp.cohort.cases import listed
from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN
from brainmvp.finetune import FineTuned, Progress, finetune
from brainmvp.finetune.prepared import keep_only
from brainmvp.modelstore import Model, ModelStore, write_model
from brainmvp.segment import Segmenter
from brainmvp.stop import StoppedError
from brainmvp.tasks import Recipe, Task

# Patients with a final label: three are held out, one validates, two teach. It works from there on; it is good later.
MINIMUM_PATIENTS = SMALLEST + LEFT

Tell = Callable[[TrainingStatus], None]


@dataclass(frozen=True)
class Outcome:
    """The end of a training: the version, whether it is served, and why; no version if it was stopped."""

    finished: bool
    message: str
    version: int | None = None
    served: bool = False


class LabelTraining:
    """Trains the model of a task on the final labels of a folder.

    tasks: those that the server offers, which tell whose a label is that nobody submitted.
    """

    def __init__(self, state: AnnotationState, task: Task, tasks: tuple[Task, ...]) -> None:
        self._state = state
        self._task = task
        self._tasks = tasks
        self._store = ModelStore()
        self._folder = state.studies / HIDDEN / "training" / task.name
        # Most studies of the next training are those of this one, and to prepare them may take longer than to learn.
        self._prepared = state.studies / HIDDEN / "prepared" / task.name

    def cases(self) -> list[Case]:
        """Return the finally labelled studies of the task whose sequences reach its minimum."""
        return [case for case in self._labelled() if self._usable(case)]

    def check_enough(self) -> list[Case]:
        """Return the labelled studies; raises `BrainMVPError` saying what is missing if they are too few.

        So it does if there are held-out patients and none of them is labelled: nothing could be told about a version.
        """
        labelled = self._labelled()
        cases = [case for case in labelled if self._usable(case)]
        patients = {case.group for case in cases}
        held_out = read_held_out(self._state.studies, self._task.name)
        if held_out and not patients.intersection(held_out.patients):
            raise BrainMVPError(
                f"None of the held-out patients of {self._task.name} ({listed(held_out.patients)}) has a final label, "
                "so no new version could be tested; if they have other names now, give the old ones back or write the "
                f"new ones into {held_out_path(self._state.studies, self._task.name)}, else label one of them."
            )
        if held_out:
            patients -= set(held_out.patients)
            missing = MINIMUM_PATIENTS - len(held_out.patients) - len(patients)
            missing = max(missing, 2 - len(patients))
        else:
            missing = MINIMUM_PATIENTS - len(patients)
        if missing > 0:
            aside = f", {len(held_out.patients)} more are held out" if held_out else ""
            if left_out := len(labelled) - len(cases):
                studies = "1 labelled study lacks" if left_out == 1 else f"{left_out} labelled studies lack"
                aside += f"; {studies} the sequences that the task needs"
            raise BrainMVPError(
                f"Training {self._task.name} needs final labels of {missing} more patient"
                f"{'s' if missing > 1 else ''}: there are {len(patients)}{aside}."
            )
        return cases

    def labels_of_run(self) -> int:
        """Return the number of final labels that the next run knows: where it goes on with an earlier one, of then."""
        cases = self.cases()
        plan = self._stored_plan(cases)
        return plan.seen if plan else len(cases)

    def run(self, options: Options, tell: Tell, should_stop: Callable[[], bool]) -> Outcome:
        """Train, or go on with a training that was stopped; measure, and serve the result if it is not worse.

        Raises `BrainMVPError` if labels are missing or cannot be used.
        """
        cases = self.check_enough()
        begun = self._stored_plan(cases)
        held_out = self._held_out(cases, begun, options.seed)
        plan = begun or self._new_plan(cases, held_out, options)
        by_id = {case.id: case for case in cases}
        name = self._task.name

        def on_step(progress: Progress) -> None:
            dice = float(np.mean(list(progress.scores.values()))) if progress.scores else None
            message = (
                f"Epoch {progress.epoch} of {progress.epochs}, step {progress.step} of {progress.steps}."
            )
            tell(TrainingStatus(name, "training", message, progress.epoch, progress.epochs, progress.loss, dice,
                                progress.seconds_left))  # fmt: skip

        def on_prepared(done: int, of: int) -> None:
            if should_stop():
                raise StoppedError
            tell(TrainingStatus(name, "preparing", f"{done} of {of} studies are prepared."))

        try:
            tuned = finetune(
                self._task,
                [by_id[study] for study in plan.train],
                [by_id[study] for study in plan.validation],
                self._store.resolve(plan.start),
                Recipe.model_validate(plan.recipe),
                self._folder / "run",
                device=options.device,
                cache=self._prepared,
                progress=on_step,
                preparing=on_prepared,
                should_stop=should_stop,
            )
        except StoppedError:
            tuned = None
        except FileNotFoundError as error:
            if error.filename is None or Path(error.filename).parent != self._prepared:
                raise
            raise BrainMVPError(
                "A study was removed while the training learned from it; start it again to learn from the others."
            ) from error
        if tuned is None or not tuned.finished:
            return Outcome(False, "The training was stopped; start it again to go on.")
        measured = [case for case in cases if held_out.holds(case.id)]
        return self._decide(plan, tuned, measured, options, tell, should_stop)

    def _labelled(self) -> list[Case]:
        return self._state.cases(self._task, self._tasks)

    def _usable(self, case: Case) -> bool:
        return self._task.accepts(set(case.study.images))

    def _held_out(self, cases: list[Case], begun: Plan | None, seed: int) -> HeldOut:
        """Return the held-out set, with patients added from whom no version of the task, and no begun run, learns.

        Whoever submitted no label under this name is not added: it may have taught under another one.
        """
        own = [model for model in self._store.models() if model.card.task == self._task.name]
        taught = taught_patients(own, cases, self._store, self._state.studies)
        taught |= {patient_of(study) for study in (begun.train + begun.validation if begun else ())}
        taught |= {c.group for c in cases} - {
            patient_of(e.study) for e in self._state.journal.events("final")
        }
        labelled = [case.id for case in cases]
        return choose_held_out(self._state.studies, self._task.name, labelled, time.time(), seed, taught)

    def _stored_plan(self, cases: list[Case]) -> Plan | None:
        """Return the plan of a run that ended early, if its start is still served and its labels are as they were."""
        plan = Plan.read(self._folder)
        return plan if plan and plan.still_of(cases) and plan.start == self._served().card.id else None

    def _new_plan(self, cases: list[Case], held_out: HeldOut, options: Options) -> Plan:
        shutil.rmtree(self._folder, ignore_errors=True)
        plan = Plan.draw(self._task, self._served().card.id, cases, held_out, options)
        plan.write(self._folder)
        return plan

    def _served(self) -> Model:
        return self._store.resolve(self._task.name)

    def _decide(
        self, plan: Plan, tuned: FineTuned, cases: list[Case], options: Options, tell: Tell,
        should_stop: Callable[[], bool],
    ) -> Outcome:  # fmt: skip
        """Measure the served version and the new one on the held-out studies, store the new one, serve the better."""
        name = self._task.name
        served = self._served()
        stored = self._stored_before(tuned.card)
        version = stored.card.version if stored else self._store.next_version(name)
        card = tuned.card.model_copy(update={"name": name, "version": version})
        candidate = stored or write_model(card, tuned.weights, self._folder / "candidate" / str(version))
        segmenters = [Segmenter(served, options.device), Segmenter(candidate, options.device)]
        for number, case in enumerate(cases):
            message = f"{number} of {len(cases)} held-out studies are measured."
            tell(TrainingStatus(name, "measuring", message))
            if should_stop():
                return Outcome(
                    False, "The training was stopped while it was measured; start it again to go on."
                )
            for segmenter in segmenters:
                self._state.held_out_scores.measure(segmenter, case)
        comparison = self._state.held_out_scores.compare(served.card, card, cases)
        if stored is None:
            metrics: dict[str, float] = {}
            if comparison.cases:
                metrics = {
                    "held-out Dice": round(comparison.new_mean, 4),
                    "held-out studies": len(comparison.cases),
                }
            self._store.add(card.model_copy(update={"metrics": card.metrics | metrics}), tuned.weights)
        now = self._served().card.id  # not `served`, if somebody has chosen another one meanwhile
        serves = comparison.passes and now == served.card.id
        if serves:
            self._store.serve(name, version)
        warning = self._warning(served, cases)
        self._note(plan, comparison, serves, warning)
        self._tidy(version)
        keep_only(tuned.prepared, self._prepared)
        stays = now if now == served.card.id else f"{now}, chosen meanwhile,"
        action = "it is served now" if serves else f"it is kept, and {stays} stays served"
        return Outcome(True, f"{comparison.sentence[:-1]}; {action}.{warning}", version, serves)

    def _warning(self, served: Model, held_out: list[Case]) -> str:
        """Return what to add to a comparison: whether the served version has learned from those who test."""
        seen = sorted(taught_patients([served], held_out, self._store, self._state.studies))
        if not seen:
            return ""
        return (
            f" But {served.card.id} has learned from {listed(seen)}, held out here: its Dice says too much."
        )

    def _stored_before(self, card: Card) -> Model | None:
        """Return the version that this run stored before it ended early; its card's training has the run's seconds."""
        own = (model for model in self._store.models() if model.card.name == self._task.name)
        return next((model for model in own if model.card.training == card.training), None)

    def _tidy(self, version: int) -> None:
        """Keep the curves of a finished run, and remove its weights."""
        kept = self._folder.with_name(f"{self._task.name}-{version}")
        kept.mkdir(exist_ok=True)
        for path in (self._folder / "run").glob("*.*"):
            if path.suffix in (".png", ".json"):
                path.replace(kept / path.name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _note(self, plan: Plan, comparison: Comparison, serves: bool, warning: str) -> None:
        detail = {
            "model": comparison.new, "parent": plan.start, "labels": len(plan.train) + len(plan.validation),
            "held_out": {"dice": round(comparison.new_mean, 4), "cases": len(comparison.cases)},
            "before": {"model": comparison.old, "dice": round(comparison.old_mean, 4)},
            "served": serves, "sentence": comparison.sentence + warning,
        }  # fmt: skip
        self._state.journal.add("version", task=self._task.name, detail=detail)
