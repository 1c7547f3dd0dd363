"""What is measured of versions on the held-out studies."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from brainmvp.annotation import gate
from brainmvp.annotation.cases import case_state
from brainmvp.annotation.database import Database
from brainmvp.annotation.gate import HeldOutScores, comparable
from brainmvp.card import Card
from brainmvp.case import Case
from brainmvp.networks import NetworkConfig
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


def card(version: int) -> Card:
    return Card(
        name="m", version=version, task="tumour", title="Of a test", sequences=TUMOUR.sequences,
        regions=TUMOUR.outputs, network=NetworkConfig.preset("unet-compact", 4, 3), spacing=1.0, window=(16, 16, 16),
        created=date(2026, 1, 1),
    )  # fmt: skip


class Finds:
    """Stands for a segmenter that finds the same in every study: the label's ball, as enhancing tumour."""

    task = TUMOUR

    def __init__(self, card: Card, folder: Path) -> None:
        self.card = card
        self._found = written(folder / "found.nii.gz", 3)

    def segment(self, study: Study, reference: Sequence | None = None) -> SimpleNamespace:
        offered = {region.name: None for region in TUMOUR.offered(set(study.images))[0]}
        return SimpleNamespace(labels=self._found, probabilities=offered, reference=study.reference(TUMOUR))


def test_what_a_label_could_not_show_when_it_was_drawn_is_not_measured(case: Case, tmp_path: Path) -> None:
    scores, model = HeldOutScores(Database(tmp_path)), Finds(card(1), tmp_path)
    early = replace(case, drawn_with=frozenset({Sequence.FLAIR}))
    for each in (case, early):
        scores.measure(model, each)
    assert scores.of([model.card], [early]) == {"m@1": {"a": 1.0}}
    assert scores.of([model.card], [case]) == {"m@1": {"a": pytest.approx(1 / 3)}}


def test_a_study_that_gets_or_changes_an_image_is_measured_again_for_both_versions(
    case: Case, tmp_path: Path
) -> None:
    scores, old, new = HeldOutScores(Database(tmp_path)), Finds(card(1), tmp_path), Finds(card(2), tmp_path)
    scores.measure(old, replace(case, study=case.study.only((Sequence.FLAIR,))))
    scores.measure(new, case)
    assert scores.compare(old.card, new.card, [case]).cases == ()
    scores.measure(old, case)
    assert len(scores.compare(old.card, new.card, [case]).cases) == 1
    written(case.study.images[Sequence.T1CE], 100)
    assert scores.of([old.card, new.card], [case]) == {"m@1": {}, "m@2": {}}


def test_versions_are_shown_on_the_studies_that_they_share() -> None:
    newest = {"a": 0.8, "b": 0.6, "c": 0.1}
    lost_c = {"a": 0.7, "b": 0.5}  # its label was corrected since
    shown = comparable({"m@1": lost_c, "m@2": {}, "m@3": newest})
    assert shown == {"m@1": lost_c, "m@2": {}, "m@3": {"a": 0.8, "b": 0.6}}
    assert comparable({"m@1": {"a": 0.7}, "m@2": newest}) == {"m@1": {}, "m@2": newest}
    assert comparable({"m@1": {}}) == {"m@1": {}}


def test_a_version_of_another_release_has_no_scores_of_one_with_its_name(case: Case, tmp_path: Path) -> None:
    scores, old = HeldOutScores(Database(tmp_path)), Finds(card(1), tmp_path)
    scores.measure(old, case)
    told = old.card.model_copy(update={"metrics": {"held-out Dice": 0.5}, "known_failures": ("small ones",)})
    assert scores.of([told], [case])["m@1"]
    for change in ({"training": {"steps": 9}}, {"thresholds": {"WT": 0.4}}):
        assert scores.of([old.card.model_copy(update=change)], [case]) == {"m@1": {}}


def test_a_release_that_marks_something_else_measures_again(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, old, new = HeldOutScores(Database(tmp_path)), Finds(card(1), tmp_path), Finds(card(2), tmp_path)
    monkeypatch.setattr(gate, "_MARKING", gate._MARKING - 1)
    scores.measure(old, case)
    monkeypatch.undo()
    assert scores.of([old.card], [case]) == {"m@1": {}}
    scores.measure(new, case)
    assert scores.compare(old.card, new.card, [case]).cases == ()
    scores.measure(old, case)
    assert len(scores.compare(old.card, new.card, [case]).cases) == 1


def test_a_dice_of_a_release_that_did_not_number_its_marking_is_not_used(case: Case, tmp_path: Path) -> None:
    database, old = Database(tmp_path), Finds(card(1), tmp_path)
    scores = HeldOutScores(database)
    row = (old.card.identity, case.id, case_state(case), '{"WT": 0.5}')
    with database.writing() as connection:
        connection.execute("INSERT INTO held_out_dice VALUES (?, ?, ?, ?)", row)
    assert scores.of([old.card], [case]) == {"m@1": {}}
