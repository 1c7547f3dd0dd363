"""Intervals cover, tests tell a difference from none, and everything goes by patient."""

import numpy as np
import pytest

from brainmvp.evaluation.classes import METRICS, Answers, intervals
from brainmvp.evaluation.classification import by_patient, classification_metrics
from brainmvp.evaluation.statistics import bootstrap, compare_answers, compare_means, patient_means
from brainmvp.evaluation.tables import summary_rows
from brainmvp.tasks import get_task


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [bootstrap(rng.normal(0.5, 0.1, 40), samples=300) for _ in range(100)]
    assert 85 <= sum(i.low <= 0.5 <= i.high for i in intervals) <= 100
    assert bootstrap(np.full(5, 0.7)).low == pytest.approx(0.7)


def test_the_same_rows_give_the_same_interval():
    rows = np.random.default_rng(1).normal(size=30)
    assert bootstrap(rows) == bootstrap(rows)


def test_a_paired_test_sees_a_small_difference_that_all_patients_share():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.5, 0.9, 30)
    better = compare_means(first, first + rng.normal(0.03, 0.01, 30))
    assert better.p_value < 0.001 and better.difference.low > 0
    assert compare_means(first, first).p_value == 1.0
    assert compare_means(first, first + rng.normal(0, 0.05, 30)).p_value > 0.05


def test_answers_are_compared_by_mcnemar():
    first = np.array([True] * 10 + [False] * 10)
    second = np.array([True] * 20)
    assert compare_answers(first, second).p_value == pytest.approx(2 * 0.5**10)
    assert compare_answers(first, first).p_value == 1.0


def test_a_rare_class_that_is_always_found_has_a_narrow_interval():
    targets = np.array([1] * 3 + [0] * 37)
    names = [f"p{n}" for n in range(40)]
    found = intervals(Answers(np.eye(2)[targets], targets, names, names, ["m@1"] * 40))
    assert {name: (one.value, one.low) for name, one in found.items()} == dict.fromkeys(METRICS, (1.0, 1.0))
    one_wrong = np.eye(2)[[0, *targets[1:]]]
    assert intervals(Answers(one_wrong, targets, names, names, ["m@1"] * 40))["f1"].low < 0.9


def test_a_class_that_nobody_has_costs_no_f1():
    said, targets, names = np.eye(3)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), list("abcd")
    found = intervals(Answers(said, targets, names, names, ["m@1"] * 4))
    assert found["accuracy"].value == 1.0
    assert np.isnan([found[name].value for name in ("auc", "f1")]).all()
    _, accuracy, auc, f1 = summary_rows({"mean": found}, get_task("mrbrains-13"))
    assert (accuracy[2], auc[2], f1[2]) == ("1.0000 (1.0000 to 1.0000)", "-", "-")


def test_one_patient_has_no_interval():
    one = Answers(np.eye(2)[[0, 1]], np.array([0, 1]), ["v1", "v2"], ["a", "a"], ["m@1"] * 2)
    found = intervals(one)
    assert {name: each.value for name, each in found.items()} == dict.fromkeys(METRICS, 1.0)
    assert np.isnan([each.low for each in found.values()]).all()
    assert str(bootstrap(np.array([0.5]))) == "0.5"


def test_a_patient_whose_class_changed_is_drawn_with_both():
    right = np.random.default_rng(0).random(20) < 0.7  # in both visits or in none
    targets = np.tile([0, 1], 20)
    said = np.eye(2)[np.where(np.repeat(right, 2), targets, 1 - targets)]
    visits = [f"v{n}" for n in range(40)]
    both, apart = (
        intervals(Answers(said, targets, visits, patients, ["m@1"] * 40))["accuracy"]
        for patients in ([f"p{n // 2}" for n in range(40)], visits)
    )
    of_patients = bootstrap(right.astype(float), 500)
    assert (both.value, both.low, both.high) == (of_patients.value, of_patients.low, of_patients.high)
    assert both.high - both.low > 1.2 * (apart.high - apart.low)


def test_some_patients_may_have_changed_their_class_and_others_not():
    targets, patients = np.array([0, 1, 0, 1, 0, 1]), ["a", "a", "b", "c", "d", "e"]
    said = np.eye(2)[[0, 1, 0, 1, 0, 0]]
    found = intervals(Answers(said, targets, patients, patients, ["m@1"] * 6))
    accuracy = found["accuracy"]
    assert accuracy.value == pytest.approx(5 / 6) and accuracy.low < accuracy.value < accuracy.high == 1.0
    assert np.isfinite([found["auc"].low, found["f1"].low]).all()


def test_a_patient_with_many_visits_counts_once():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.1, 0.9], [0.7, 0.3]])
    targets, patients = np.array([0, 0, 0, 1, 0]), ["a", "a", "a", "b", "c"]
    means, wanted, names = by_patient(probabilities, targets, patients)
    assert names == ["a", "b", "c"]
    assert np.allclose(means, [[1.3 / 3, 1.7 / 3], [0.1, 0.9], [0.7, 0.3]]) and wanted.tolist() == [0, 1, 0]
    metrics = classification_metrics(probabilities, targets, patients)
    assert metrics["accuracy"] == pytest.approx(2 / 3) and metrics["auc"] == 1.0
    assert metrics["f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert np.isnan(classification_metrics(probabilities[:1], targets[:1], ["a"])["auc"])
    assert patient_means({"b": [1.0, 0.0], "a": [0.25]}).tolist() == [0.25, 0.5]
