"""From which of the labelled patients a model has learned: in the loop, or by an index of the folder."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from brainmvp.case import Case
from brainmvp.cohort.index import Session
from brainmvp.cohort.layouts import place_of
from brainmvp.evaluation.turns import taught
from brainmvp.modelstore import Model, ModelStore
from brainmvp.study import image_files


def taught_patients(models: list[Model], cases: list[Case], store: ModelStore, studies: Path) -> set[str]:
    """Return the patients of cases whose labels one of some models, or of those it came from, learned or was chosen by.

    studies: the folder of the cases; `brainmvp finetune` writes their names as in its index into a model's card.
    """
    everyone = [*cases, *(other for case in cases if (other := _as_indexed(case, studies)))]
    return {
        patient
        for model in models
        for side in ("train", "validation")
        for patient in taught(model, cases, everyone, store, side)
    }


def _as_indexed(case: Case, root: Path) -> Case | None:
    """Return a case under the name that an index of the folder gives it; None for DICOM, which it cannot name."""
    folder = case.study.folder
    file = next(iter(image_files(folder)), None) if folder.is_dir() else None
    if file is None or not file.is_relative_to(root):
        return None
    place = place_of(PurePosixPath(file.relative_to(root).as_posix()), root.name)
    session = Session(dataset=place.dataset, subject=place.subject, session=place.session, images=())
    return replace(case, study=replace(case.study, id=session.id.replace("/", "_")), patient=case.group)
