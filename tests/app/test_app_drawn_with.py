"""A label is of one task, and says nothing of what its annotator did not see."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from noted_folder import TUMOUR, labelled, scan

from brainmvp.annotation.cases import came_late
from brainmvp.annotation.state import AnnotationState
from brainmvp.case import read_label
from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume, write_volume


def test_a_label_of_a_study_that_gains_a_sequence_while_it_is_open_is_taken(root: Path) -> None:
    from brainmvp_app.errors import status_of

    store = labelled(root)
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    write_volume(Volume(np.arange(60, dtype=np.int16).reshape(5, 4, 3), grid), root / "siteA/p3/t1ce.nii.gz")
    assert store.get_image_info("p3")["reference"] == "T1CE"
    store.save_label("p3", str(root.parent / "label.nii.gz"), "final", {})
    (case,) = (case for case in AnnotationState(root).cases(TUMOUR, (TUMOUR,)) if case.id == "p3")
    assert read_label(TUMOUR, case)[1] == "FLAIR"
    other = write_volume(Volume(np.ones((3, 4, 5), np.uint8), grid), root.parent / "other.nii.gz")
    with pytest.raises(BrainMVPError, match="does not lie on the grid of t1ce") as refused:
        store.save_label("p3", str(other), "final", {})
    assert status_of(refused.value) == 422


def test_a_label_says_nothing_of_what_a_sequence_shows_that_came_after_it(
    root: Path,
) -> None:
    import main

    store, state = labelled(root), AnnotationState(root)
    label = root.parent / "label.nii.gz"
    for name in ("p1", "p2"):
        write_volume(Volume(np.full((3, 4, 5), 2, np.uint8), np.eye(4)), label)
        main.BrainMVPApp.submit(SimpleNamespace(_datastore=store, state=state), name, label, "final", {})

    def told() -> dict[str, list[str]]:
        return {
            case.id: [r.name for r in came_late(TUMOUR, case)[1]] for case in state.cases(TUMOUR, (TUMOUR,))
        }

    assert told() == {"p1": [], "p2": []}
    assert store.status()["problems"] == {}
    scan(root / "p1" / "t1ce.nii.gz")
    assert told() == {"p1": ["TC", "ET"], "p2": []}
    (problem,) = store.status()["problems"].items()
    assert problem[0] == "labels/final/p1"
    assert problem[1].startswith("The label was drawn without T1CE, so tumour core and enhancing tumour are")
    main.BrainMVPApp.submit(SimpleNamespace(_datastore=store, state=state), "p1", label, "final", {})
    assert told()["p1"] == []
    assert store.status()["problems"] == {}


@pytest.mark.parametrize(("value", "seen"), [(2, ["FLAIR"]), (3, ["FLAIR", "T1CE"])])
def test_a_label_on_another_grid_was_begun_without_the_sequence_that_came_meanwhile(
    root: Path, value: int, seen: list[str]
) -> None:
    store, grid = labelled(root), np.diag([2.0, 2.0, 2.0, 1.0])
    write_volume(Volume(np.arange(60, dtype=np.int16).reshape(5, 4, 3), grid), root / "p1" / "t1ce.nii.gz")
    label = Volume(np.full((3, 4, 5), value, np.uint8), np.eye(4))
    write_volume(label, root.parent / "label.nii.gz")
    store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"sequences": ["T2"]})
    assert store.drawn_with("p1", "final") == seen


def test_a_label_on_the_grid_that_its_task_prefers_was_drawn_with_the_study_s_reference(root: Path) -> None:
    store, grid = labelled(root), np.diag([2.0, 2.0, 2.0, 1.0])
    store.tasks = (TUMOUR, TUMOUR.model_copy(update={"name": "on-flair", "reference": ("FLAIR", "T1CE")}))
    write_volume(Volume(np.arange(60, dtype=np.int16).reshape(5, 4, 3), grid), root / "p1" / "t1ce.nii.gz")
    write_volume(Volume(np.full((3, 4, 5), 2, np.uint8), np.eye(4)), root.parent / "label.nii.gz")
    store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"task": "on-flair"})
    assert store.drawn_with("p1", "final") == ["FLAIR", "T1CE"]


@pytest.mark.parametrize(
    ("value", "stated", "seen"),
    [
        (2, ["FLAIR", "T2"], ["T2", "FLAIR"]),
        (3, ["FLAIR"], ["T1CE", "FLAIR"]),  # the core was drawn
        (2, ["DWI"], ["T1CE", "T2", "FLAIR"]),  # none of the study's
        (2, None, ["T1CE", "T2", "FLAIR"]),
    ],
)
def test_a_label_says_nothing_of_what_its_annotator_left_out(
    root: Path, value: int, stated: list[str] | None, seen: list[str]
) -> None:
    store, label = labelled(root), Volume(np.full((3, 4, 5), value, np.uint8), np.eye(4))
    for name in ("t1ce", "t2"):
        scan(root / "p1" / f"{name}.nii.gz")
    write_volume(label, root.parent / "label.nii.gz")
    store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"sequences": stated})
    assert sorted(store.drawn_with("p1", "final")) == sorted(seen)


@pytest.mark.parametrize("stated", ["FLAIR", [], ["FLAIR", 3], ["flair"], {"FLAIR": 1}])
def test_what_a_label_was_drawn_with_is_a_list_of_sequences(root: Path, stated: object) -> None:
    from brainmvp_app.errors import status_of

    store = labelled(root)
    with pytest.raises(BrainMVPError, match="sequences has to be a list") as refused:
        store.save_label("p1", str(root.parent / "label.nii.gz"), "final", {"sequences": stated})
    assert status_of(refused.value) == 400


def test_a_label_is_of_the_task_that_is_named_or_whose_model_proposed_it(root: Path) -> None:
    store = labelled(root)
    store.tasks = (TUMOUR, TUMOUR.model_copy(update={"name": "our-tumours"}))
    label = store.get_label_uri("p1", "final")
    for notes, task in (
        ({}, "tumour"),
        ({"model": "our-tumours@3"}, "our-tumours"),
        ({"model": "our-tumours@3", "task": "tumour"}, "tumour"),
        ({"model": "lesions@3"}, "tumour"),
    ):
        store.save_label("p3", label, "draft", notes)
        assert store.get_label_info("p3", "draft")["task"] == task
