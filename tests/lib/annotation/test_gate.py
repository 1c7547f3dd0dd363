"""What is measured of versions on the held-out studies."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from brainmvp.annotation.database import Database
from brainmvp.annotation.gate import HeldOutScores
from brainmvp.case import Case
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

TUMOUR = get_task("tumour")
SHAPE = (6, 6, 6)


def written(path: Path, value: int) -> Volume:
    data = np.zeros(SHAPE, np.uint8)
    data[2:4, 2:4, 2:4] = value
    write_volume(Volume(data, np.eye(4)), path)
    return Volume(data, np.eye(4))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A study of FLAIR and T1CE, whose label holds oedema only."""
    for name in ("flair", "t1ce"):
        written(tmp_path / "a" / f"a_{name}.nii.gz", 200)
    written(tmp_path / "label.nii.gz", 2)
    return Case(Study.from_folder(tmp_path / "a"), tmp_path / "label.nii.gz")


class Finds:
    """Stands for a segmenter that finds the same in every study: the label's ball, as enhancing tumour."""

    task = TUMOUR

    def __init__(self, model: str, folder: Path) -> None:
        self.card = SimpleNamespace(id=model)
        self._found = written(folder / "found.nii.gz", 3)

    def segment(self, study: Study, reference: Sequence | None = None) -> SimpleNamespace:
        offered = {region.name: None for region in TUMOUR.offered(set(study.images))[0]}
        return SimpleNamespace(labels=self._found, probabilities=offered, reference=study.reference(TUMOUR))


def test_what_a_label_could_not_show_when_it_was_drawn_is_not_measured(case: Case, tmp_path: Path) -> None:
    scores, model = HeldOutScores(Database(tmp_path)), Finds("m@1", tmp_path)
    scores.measure(model, replace(case, drawn_with=frozenset({Sequence.FLAIR})))
    assert scores.of("m@1", [case]) == {"a": 1.0}
