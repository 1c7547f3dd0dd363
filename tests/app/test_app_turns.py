"""Many annotators at once on one datastore: nobody waits for what was just done, and nothing gets lost."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from brainmvp.annotation.leases import Lease
from brainmvp.annotation.state import AnnotationState
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

if TYPE_CHECKING:
    from brainmvp_app.datastore import StudyDatastore

_STUDIES, _ANNOTATORS = 40, 8


class Cohort:
    """Small studies of FLAIR with what the app keeps of them."""

    def __init__(self, folder: Path, count: int) -> None:
        from brainmvp_app.choice import Chooser

        self.root = folder / "cohort"
        head = np.random.default_rng(0).integers(100, 900, (8, 9, 7)).astype(np.int16)
        for number in range(count):
            write_volume(Volume(head, np.eye(4)), self.root / f"p{number:02d}" / "flair.nii.gz")
        label = Volume((head > 500).astype(np.uint8), np.eye(4))
        self._label = write_volume(label, folder / "label.nii.gz")
        self.store = self.opened_again()
        self.state = AnnotationState(self.root)
        self.chooser = Chooser(self.store, self.state, 0)

    def opened_again(self) -> "StudyDatastore":
        from brainmvp_app.datastore import StudyDatastore

        return StudyDatastore(str(self.root), (get_task("tumour"),))

    def label(self, study: str, annotator: str, tag: str = "final") -> None:
        self.store.save_label(study, str(self._label), tag, {"annotator": annotator})


def test_a_thing_is_done_once_for_all_who_asked_before_it_began() -> None:
    from brainmvp_app.turns import Together

    began, go, done = threading.Event(), threading.Event(), []

    def action() -> None:
        began.set()
        go.wait(10)
        done.append(len(done))

    together = Together(action)
    first = threading.Thread(target=together.answer, args=(together.asked(),))
    first.start()
    assert began.wait(10)  # what is asked from now on, this one does not answer
    late = [threading.Thread(target=together.answer, args=(together.asked(),)) for _ in range(9)]
    for thread in late:
        thread.start()
    go.set()
    for thread in (first, *late):
        thread.join(10)
    assert done == [0, 1]


def test_what_fails_is_told_to_everybody_who_asked() -> None:
    from brainmvp_app.turns import Together

    def action() -> None:
        raise OSError("the disk is full")

    together = Together(action)
    asked = [together.asked(), together.asked()]
    for ticket in asked:
        with pytest.raises(OSError, match="full"):
            together.answer(ticket)


def test_every_study_goes_to_one_annotator_and_every_label_is_noted_when_it_is_answered(
    tmp_path: Path,
) -> None:
    cohort = Cohort(tmp_path, _STUDIES)
    notes = cohort.root / ".brainmvp" / "datastore_v2.json"

    def work(annotator: str) -> list[str]:
        done = []
        while "id" in (chosen := cohort.chooser.choose("hybrid", annotator)):
            study = chosen["id"]
            cohort.label(study, annotator)
            entry = json.loads(notes.read_text("utf-8"))["objects"][study]["labels"]["final"]
            assert entry["info"]["annotator"] == annotator
            cohort.state.leases.forget(study)
            done.append(study)
        return done

    with ThreadPoolExecutor(_ANNOTATORS) as pool:
        done = sorted(chain(*pool.map(work, [f"annotator {n}" for n in range(_ANNOTATORS)])))
    assert done == [f"p{number:02d}" for number in range(_STUDIES)]
    assert sorted(cohort.store.get_labeled_images()) == done
    # Another start finds the same on the disk.
    assert cohort.opened_again().json() == cohort.store.json()


def test_a_study_that_is_labelled_while_one_is_chosen_is_not_given(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, 2)
    take = cohort.state.leases.take

    def others_are_faster(order: list[str], annotator: str) -> Lease | None:
        if len(order) == 2:
            cohort.label(order[0], "another")
        return take(order, annotator)

    cohort.state.leases.take = others_are_faster
    chosen = cohort.chooser.choose("sequential", "reader")
    assert (chosen["id"], chosen["why"]["of"]) == ("p01", 1)
    assert cohort.state.leases.holder("p00") is None


def test_who_gets_a_study_again_is_told_of_the_own_draft(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, 1)
    assert cohort.chooser.choose("sequential", "reader")["lease"]["draft"] is False
    cohort.label("p00", "reader", "draft")
    cohort.state.leases.renew("p00", "reader")
    assert cohort.chooser.choose("sequential", "reader")["lease"]["draft"] is True
    cohort.state.leases.release("p00")
    for annotator, own in (("another", False), ("reader", True)):  # whoever had it meanwhile
        assert cohort.chooser.choose("sequential", annotator)["lease"]["draft"] is own
        assert cohort.state.leases.holder("p00").draft is own
        cohort.state.leases.release("p00")


def test_studies_that_no_model_can_use_come_last(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, 2)
    image = Volume(np.ones((8, 9, 7), np.int16), np.eye(4))
    for name, sequence in (("a", "mra"), ("b", "t1")):
        write_volume(image, cohort.root / name / f"{sequence}.nii.gz")
    for strategy in ("hybrid", "sequential"):
        chosen = [cohort.chooser.choose(strategy, strategy) for _ in range(4)]
        names = [each["id"] for each in chosen]
        assert (set(names[:2]), set(names[2:])) == ({"p00", "p01"}, {"a", "b"})
        assert "no model here can use its sequences" in chosen[3]["why"]["sentence"]
        for name in names:
            cohort.state.leases.release(name)


def test_label_files_that_others_put_and_take_are_followed(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, 1)
    store, root = cohort.store, cohort.root
    image = Volume(np.ones((8, 9, 7), np.int16), np.eye(4))
    assert store.get_labeled_images() == []
    for name in ("p00.nii.gz", ".writing-p00.nii.gz", "stranger.nii.gz"):
        write_volume(image, root / "labels" / "final" / name)
    assert store.get_labeled_images() == ["p00"]
    assert store.get_label_uri("p00", "final") == str(root / "labels" / "final" / "p00.nii.gz")
    write_volume(image, root / "labels" / "second-reader" / "p00.nrrd")
    assert set(store.get_labels_by_image_id("p00")) == {"final", "second-reader"}
    (root / "labels" / "final" / "p00.nii.gz").unlink()
    assert set(store.get_labels_by_image_id("p00")) == {"second-reader"}
    noted = json.loads((root / ".brainmvp" / "datastore_v2.json").read_text("utf-8"))
    assert set(noted["objects"]["p00"]["labels"]) == {"second-reader"}
