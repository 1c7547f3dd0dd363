"""Splits: by patient, stratified, drawn once, and refused in a sentence where they do not fit."""

from itertools import pairwise
from pathlib import Path

import pytest
from labelled import make_cases

from brainmvp.cohort import Image, Index, Session
from brainmvp.cohort.cases import cases_of
from brainmvp.errors import BrainMVPError
from brainmvp.finetune import Case
from brainmvp.finetune.split import SplitFile, draw_split, fraction_of, get_split
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task

ADNI = get_task("adni")


def patients(counts, visits=1):
    return [
        Case(Study(f"{key}{n}-{v}", Path(), {Sequence.T1: Path("a")}), target=key, patient=f"{key}{n}")
        for key, count in counts.items()
        for n in range(count)
        for v in range(visits)
    ]


def test_patients_are_on_one_side_and_classes_on_all(tmp_path):
    cases = patients({"CN": 40, "MCI": 20}, visits=2)
    parts = draw_split(ADNI, cases, set()).parts(cases, 0, tmp_path)
    groups = {part: {case.group for case in chosen} for part, chosen in parts.items()}
    assert sum(map(len, groups.values())) == 60 and len(set().union(*groups.values())) == 60
    assert {part: len(group) for part, group in groups.items()} == {"train": 42, "validation": 6, "test": 12}
    for group in groups.values():
        assert 0.25 < sum(p.startswith("MCI") for p in group) / len(group) < 0.42
    assert draw_split(ADNI, cases[::-1], set()) == draw_split(ADNI, cases, set())
    assert draw_split(ADNI, cases, set(), seed=1) != draw_split(ADNI, cases, set())
    few = draw_split(ADNI, patients({"CN": 9, "MCI": 3}), set()).folds[0]
    assert all({p[0] for p in part} == {"C", "M"} for part in (few.train, few.validation, few.test))


def test_who_the_index_holds_out_is_the_test():
    cases = patients({"CN": 10, "MCI": 10})
    fold = draw_split(ADNI, cases, {"CN3", "MCI4"}).folds[0]
    assert fold.test == ("CN3", "MCI4") and len(fold.validation) == 2 and len(fold.train) == 16


def test_folds_test_everyone_once():
    task = get_task("mrbrains-13")
    cases = patients({"x": 5})
    split = draw_split(task, cases, set())
    assert sorted(p for fold in split.folds for p in fold.test) == ["x0", "x1", "x2", "x3", "x4"]
    assert all(len(fold.train) == 3 and len(fold.validation) == 1 for fold in split.folds)


def test_who_is_held_out_and_folds_that_test_everyone_do_not_go_together():
    task = get_task("mrbrains-13")
    with pytest.raises(BrainMVPError, match="keeps x1 for the test, and a cross-validation tests everyone"):
        draw_split(task, patients({"x": 5}), {"x1", "elsewhere"})


def test_small_and_large_lesions_are_on_all_sides(tmp_path):
    task = get_task("stroke")
    cases = make_cases(task, 5, tmp_path)
    fold = draw_split(task, cases, set()).folds[0]
    assert len(fold.train) == 3 and len(fold.validation) == len(fold.test) == 1


def test_a_class_with_one_patient_is_refused():
    with pytest.raises(BrainMVPError, match="Class MCI has 1 patient, and a split by patient needs 3"):
        draw_split(ADNI, patients({"CN": 10, "MCI": 1}, visits=3), set())


def test_a_split_is_written_once_and_checked(tmp_path):
    path, cases = tmp_path / "split.json", patients({"CN": 4, "MCI": 4})
    split = get_split(ADNI, cases, set(), path)
    assert get_split(ADNI, cases, set(), path, seed=5) == split
    tested = split.folds[0].test
    assert get_split(ADNI, cases, {tested[0], "elsewhere"}, path) == split
    other = next(case.group for case in cases if case.group not in tested)
    with pytest.raises(
        BrainMVPError, match=f"keeps {other} for the test, and .*split.json does not; index the"
    ):
        get_split(ADNI, cases, {*tested, other}, path)
    with pytest.raises(BrainMVPError, match="names CN0, of whom the index has no labelled study"):
        split.parts([case for case in cases if case.group != "CN0"], 0, path)
    with pytest.raises(BrainMVPError, match="would test models on patients who taught them"):
        split.parts([*cases, *patients({"CN": 10})[9:]], 0, path)
    with pytest.raises(BrainMVPError, match="has 1 fold, not 3; give --split another file"):
        get_split(ADNI, cases, set(), path, folds=3)
    with pytest.raises(BrainMVPError, match="CN9 is in the index but not in"):
        split.parts([*cases, *patients({"CN": 10})[9:]], 0, path)
    with pytest.raises(BrainMVPError, match="has no fold 1; it has 1"):
        split.parts(cases, 1, path)
    with pytest.raises(BrainMVPError, match="is a split for adni, not for abide-1"):
        get_split(get_task("abide-1"), cases, set(), path)
    path.write_text(path.read_text().replace('"test": [', '"test": ["CN0", "CN1", "CN2", "CN3",'))
    with pytest.raises(BrainMVPError, match="on two sides"):
        SplitFile.read(path, "adni")
    path.write_text("{}")
    with pytest.raises(BrainMVPError, match="is no split"):
        SplitFile.read(path, "adni")


def test_a_larger_share_of_the_labels_holds_a_smaller_one():
    cases = patients({"CN": 10, "MCI": 5})
    shares = [{c.group for c in fraction_of(cases, f, seed=2)} for f in (0.01, 0.2, 0.6, 1.0)]
    assert [len(share) for share in shares] == [2, 3, 9, 15]
    assert all(small < large for small, large in pairwise(shares))


def test_what_the_index_lacks_is_told_and_the_rest_is_used(tmp_path):
    (tmp_path / "a.nii.gz").touch()
    image = (Image(sequence=Sequence.T1, file="a.nii.gz"),)
    other = (Image(sequence=Sequence.T2, file="a.nii.gz"),)
    sessions = [
        Session(dataset="d", subject="1", session="1", images=image, label="CN"),
        Session(dataset="d", subject="2", session="1", images=image),
        Session(dataset="d", subject="5", session="1", images=image),
        Session(dataset="d", subject="3", session="1", images=other, label="CN"),
        Session(dataset="d", subject="4", session="1", images=image, label="AD"),
    ]
    cases, notes = cases_of(Index(tmp_path, sessions), ADNI)
    assert [case.group for case in cases] == ["d/1"]
    assert [note.split(" (")[0].split(", which")[0] for note in notes] == [
        "Left out d/2/1 and 1 more: no class",
        "Left out d/3/1: no T1",
        "Left out d/4/1: of class 'AD', and adni knows CN, MCI.",
    ]
    with pytest.raises(BrainMVPError, match=r"has no labelled study for adni \(d/2/1 and 1 more: no class"):
        cases_of(Index(tmp_path, sessions[1:]), ADNI)
