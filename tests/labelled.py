"""Small labelled cohorts for tests: stripped heads with a bright ball inside, whose label is known."""

from pathlib import Path

import numpy as np
from heads import centre_of, head, oblique

from brainmvp.case import Case
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.volume import Volume, write_volume

# Options of a training of seconds.
TINY = ["--spacing", "4", "--window", "16", "--epochs", "1", "--batch", "2", "--device", "cpu"]
SHAPE, SPACING = (24, 28, 24), (2.0, 2.0, 2.0)


def make_case(task: Task, name: str, root: Path, number: int = 0) -> Case:
    """Write a study with every sequence of a task, and its label map or class; cases differ by their number."""
    affine = oblique(SPACING, "LPS", 9.0)
    centre = centre_of(SHAPE, affine)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    middle = np.array(SHAPE) / 2 + np.random.default_rng(number).uniform(-3, 3, 3)
    distance = np.linalg.norm(index - middle, axis=-1)
    labels = np.zeros(SHAPE, np.uint8)
    for step, label in enumerate(task.labels):
        labels[distance < 5 - step] = label.value
    for channel, sequence in enumerate(task.sequences):
        image = head(SHAPE, affine, centre, 10 * number + channel)
        data = image.data + (150 * (labels > 0)).astype(np.int16)
        if task.kind == "classification" and number % 2:
            data = np.where((image.data > 0) & (distance < 6), data + 300, data)
        write_volume(Volume(data.astype(np.int16), affine), root / name / f"{name}_{sequence.lower()}.nii.gz")
    if task.kind == "classification":
        study = Study.from_folder(root / name)
        return Case(study, target=task.classes[number % len(task.classes)].key, patient=name)
    path = write_volume(Volume(labels, affine), root / name / f"{name}_seg.nii.gz")
    return Case(Study.from_folder(root / name), path, patient=name)


def make_cases(task: Task, count: int, root: Path) -> list[Case]:
    """Write several."""
    return [make_case(task, f"{task.name}-{number}", root, number) for number in range(count)]


def write_index(cases: list[Case], root: Path) -> Path:
    """Write the index of cases that lie below a folder, one patient each."""
    from brainmvp.cohort import Image, Index, Session

    sessions = [
        Session(
            dataset="test", subject=case.patient, session="1", label=case.target,
            images=tuple(Image(sequence=s, file=str(p.relative_to(root))) for s, p in case.study.images.items()),
            segmentation=case.label and str(case.label.relative_to(root)),
        )
        for case in cases
    ]  # fmt: skip
    return Index(root, sessions).write(root / "index.json")


def write_cohort(task: Task, count: int, root: Path) -> Path:
    """Write several cases and return their index."""
    root = root.resolve()
    return write_index(make_cases(task, count, root), root)
