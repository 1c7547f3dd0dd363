"""Who trains, who validates and who is tested: decided once, by patient, and written down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from brainmvp.case import Case, read_label
from brainmvp.chance import by_chance
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.tasks import Task

PARTS = ("train", "validation", "test")
# Why a split that no longer fits is mended by hand and not drawn anew.
_KEEP = "(one drawn anew would test models on patients who taught them)"


class Fold(BaseModel):
    """One way to share the patients out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


class SplitFile(BaseModel):
    """A task's split: one fold, or as many as a cross-validation has; with what it was drawn by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    seed: int
    stratified_by: str
    folds: tuple[Fold, ...]

    def write(self, path: Path) -> None:
        """Write the split, complete or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: str | os.PathLike[str], task: str) -> SplitFile:
        """Read a task's split; raises `BrainMVPError` for another task's or no split, or a patient on two sides."""
        try:
            split = cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise BrainMVPError(f"{path} cannot be read ({error.strerror}); check the path.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise BrainMVPError(
                f"{path} is no split ({place}: {first['msg']}); restore it from a copy, or choose another file."
            ) from error
        if split.task != task:
            raise BrainMVPError(
                f"{path} is a split for {split.task}, not for {task}; give --split the one of {task}, or leave it out."
            )
        for fold in split.folds:
            both = set(fold.train) & {*fold.validation, *fold.test} | set(fold.validation) & set(fold.test)
            if both:
                raise BrainMVPError(f"{path} has {min(both)} on two sides; keep a patient on one side.")
        return split

    def parts(self, cases: Iterable[Case], fold: int, path: Path) -> dict[str, list[Case]]:
        """Return the cases of each part of a fold.

        Raises `BrainMVPError` if there is no such fold, it names a patient that has no case, or a case is in no part.
        """
        if not 0 <= fold < len(self.folds):
            raise BrainMVPError(f"{path} has no fold {fold}; it has {len(self.folds)}, counted from 0.")
        by_patient: dict[str, list[Case]] = {}
        for case in cases:
            by_patient.setdefault(case.group, []).append(case)
        chosen = self.folds[fold]
        named = {patient for part in PARTS for patient in getattr(chosen, part)}
        unknown, new = sorted(named - by_patient.keys()), sorted(by_patient.keys() - named)
        if unknown:
            raise BrainMVPError(
                f"{path} names {unknown[0]}, of whom the index has no labelled study; correct the index, or take the "
                f"patient out of the split {_KEEP}."
            )
        if new:
            raise BrainMVPError(
                f"{new[0]} is in the index but not in {path}; add the patient there, for instance to train {_KEEP}."
            )
        return {part: [c for p in getattr(chosen, part) for c in by_patient[p]] for part in PARTS}


def draw_split(
    task: Task,
    cases: list[Case],
    held_out: set[str],
    seed: int = 0,
    tell: Callable[[int, int], None] | None = None,
) -> SplitFile:
    """Draw a split by the task's policy, stratified by class or by the volume of what is labelled, in thirds.

    held_out: patients that the index keeps for the test; if there are any, no other is tested. The same seed and
    patients give the same split on any computer. tell: called with (labels read, of how many).
    Raises `BrainMVPError` if a class has too few patients to be on every side, or patients are held out of folds.
    """
    policy = task.split
    kept = sorted(held_out & {case.group for case in cases})
    if kept and policy.folds:
        raise BrainMVPError(
            f"The index keeps {kept[0]} for the test, and a cross-validation tests everyone; leave --folds "
            "out, or, unless an annotation holds them out, index the folder again without --test."
        )
    strata = _strata(task, cases, tell)
    parts = 1 + (policy.validation > 0) + (policy.test > 0 and not kept)
    sides = max(policy.folds, parts, 2)
    free = {name: [p for p in patients if p not in kept] for name, patients in strata.items()}
    for name, patients in free.items():
        if policy.stratify == "class" and len(patients) < sides:
            count = f"{len(patients)} patient{'' if len(patients) == 1 else 's'}"
            raise BrainMVPError(
                f"Class {name} has {count}, and a split by patient needs {sides}; add patients, or leave the class out."
            )
    groups = [sorted(patients, key=lambda p: by_chance(f"{seed}/{p}")) for patients in free.values()]
    ranked = [patient for group in groups for patient in group]
    if policy.stratify != "class":  # thirds by size may be smaller than a share; classes are on every side
        groups = [ranked]
    if len(ranked) < sides:
        raise BrainMVPError(
            f"{len(ranked)} labelled patients cannot be split into {sides} parts; label more."
        )
    if policy.folds:
        tests = [ranked[fold :: policy.folds] for fold in range(policy.folds)]
    else:
        tests = [kept or _share(groups, policy.test)]
    folds = []
    for test in tests:
        rest = [[patient for patient in group if patient not in set(test)] for group in groups]
        validation = _share(rest, policy.validation / (1 if policy.folds or kept else 1 - policy.test))
        train = [patient for group in rest for patient in group if patient not in set(validation)]
        folds.append(
            Fold(train=tuple(sorted(train)), validation=tuple(sorted(validation)), test=tuple(sorted(test)))
        )
    return SplitFile(task=task.name, seed=seed, stratified_by=policy.stratify, folds=tuple(folds))


def fraction_of(cases: list[Case], fraction: float, seed: int) -> list[Case]:
    """Return the cases of a share of the patients, at least one of each class; a larger share holds a smaller one."""
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(case.target or "", []).append(case.group)
    kept: set[str] = set()
    for patients in groups.values():
        ranked = sorted(set(patients), key=lambda p: by_chance(f"{seed}/{p}"))
        kept |= set(ranked[: max(round(fraction * len(ranked)), 1)])
    return [case for case in cases if case.group in kept]


def _share(groups: list[list[str]], share: float) -> list[str]:
    """Return this share of every group, evenly spread over it, at least one if the share is above 0."""
    chosen = []
    for group in groups:
        count = max(round(share * len(group)), 1) if share > 0 else 0
        chosen += [group[int((i + 0.5) * len(group) / count)] for i in range(count)]
    return chosen


def _strata(task: Task, cases: list[Case], tell: Callable[[int, int], None] | None) -> dict[str, list[str]]:
    """Return the patients by stratum."""
    values: dict[str, Any] = {}
    for number, case in enumerate(cases, start=1):
        if task.split.stratify == "size":
            label, _ = read_label(task, case)
            values[case.group] = values.get(case.group, 0.0) + float((label.data > 0).sum() * label.voxel_ml)
        else:
            values.setdefault(case.group, case.target or "all")
        if tell:
            tell(number, len(cases))
    if task.split.stratify == "size":
        ranked = sorted(values, key=lambda patient: (values[patient], patient))
        values = {patient: f"third {3 * rank // len(ranked) + 1}" for rank, patient in enumerate(ranked)}
    strata: dict[str, list[str]] = {}
    for patient in sorted(values):
        strata.setdefault(values[patient] if task.split.stratify != "none" else "all", []).append(patient)
    return strata


def split_path(index: Path, task: Task) -> Path:
    """Return where a cohort's split of a task is kept unless a place is given: beside the index."""
    return index.with_name(f"{index.stem}.{task.name}.split.json")


def get_split(
    task: Task,
    cases: list[Case],
    held_out: set[str],
    path: Path,
    seed: int = 0,
    tell: Callable[[int, int], None] | None = None,
    folds: int | None = None,
) -> SplitFile:
    """Return the split at `path`, or draw one and write it there.

    folds: of a cross-validation, instead of the task's policy. Raises `BrainMVPError` if the split that is there is of
    another task, of another number of folds than asked for, or does not test whom the index holds out.
    """
    if not path.exists():
        if folds is not None:
            task = task.model_copy(update={"split": task.split.model_copy(update={"folds": folds})})
        split = draw_split(task, cases, held_out, seed, tell)
        split.write(path)
        return split
    split = SplitFile.read(path, task.name)
    if folds is not None and len(split.folds) != folds:
        raise BrainMVPError(
            f"{path} is there already and has {len(split.folds)} fold{'' if len(split.folds) == 1 else 's'}, not "
            f"{folds}; give --split another file for a cross-validation beside it."
        )
    for number, fold in enumerate(split.folds):
        missed = sorted((held_out & {case.group for case in cases}) - set(fold.test))
        if missed:
            which = f" in fold {number}" if len(split.folds) > 1 else ""
            raise BrainMVPError(
                f"The index keeps {missed[0]} for the test, and {path} does not{which}; index the folder again without "
                "--test, or give --split another file to draw one that keeps to the index."
            )
    return split
