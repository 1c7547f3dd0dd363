"""Strategies: complete orders, fixed by their seed, that do what they are named for."""

from dataclasses import replace

import numpy as np
import pytest

from brainmvp.selection import STRATEGIES, Facts, Pool
from brainmvp.selection.pool import nearest_labelled
from brainmvp.selection.uncertainty import power, region_entropies


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def cohort(seed: int = 0) -> list[Facts]:
    """Three kinds of brains, 10, 6 and 3 of them; the entropy of a study is its number in its kind."""
    rng = np.random.default_rng(seed)
    facts = []
    for kind, size in enumerate((10, 6, 3)):
        for number in range(size):
            vector = unit(3 * np.eye(8)[kind] + 0.2 * rng.standard_normal(8))
            entropy = {"WT": 0.01 + 0.02 * number, "ET": 0.3 - 0.02 * number}
            facts.append(Facts(f"{'abc'[kind]}{number}", vector, entropy))
    return facts


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_order_holds_every_open_study_once_and_a_seed_fixes_it(name: str) -> None:
    facts = cohort()
    unscored = [Facts("new1"), Facts("new2")]
    for labelled in (facts[:0], facts[::2], facts):
        still_open = [each for each in facts if each not in labelled] + unscored
        pool = Pool(tuple(still_open), tuple(labelled), seed=3)
        order = STRATEGIES[name](pool)
        assert sorted(place.id for place in order) == sorted(each.id for each in still_open)
        assert order == STRATEGIES[name](pool)
        assert all(place.reason and np.isfinite(place.score) for place in order)
    assert STRATEGIES[name](Pool(())) == []


@pytest.mark.parametrize("name", ["coldstart", "uncertainty", "hybrid"])
def test_a_study_without_a_score_comes_last(name: str) -> None:
    order = STRATEGIES[name](Pool((Facts("new"), *cohort()), ()))
    assert order[-1].id == "new"


def test_another_seed_draws_another_order() -> None:
    facts = tuple(cohort())
    orders = {tuple(p.id for p in STRATEGIES["random"](Pool(facts, seed=seed))) for seed in range(5)}
    assert len(orders) == 5


def test_a_random_place_stays_when_others_go() -> None:
    facts = cohort()
    before = [place.id for place in STRATEGIES["random"](Pool(tuple(facts)))]
    after = [place.id for place in STRATEGIES["random"](Pool(tuple(facts[5:])))]
    gone = {each.id for each in facts[:5]}
    assert after == [study for study in before if study not in gone]


def test_coldstart_sees_every_kind_first() -> None:
    order = [place.id[0] for place in STRATEGIES["coldstart"](Pool(tuple(cohort())))]
    assert set(order[:3]) == {"a", "b", "c"}


def test_coldstart_passes_over_the_kinds_that_are_labelled() -> None:
    facts = cohort()
    labelled = [each for each in facts if each.id in ("a0", "b0")]
    order = STRATEGIES["coldstart"](
        Pool(tuple(each for each in facts if each not in labelled), tuple(labelled))
    )
    assert order[0].id[0] == "c"


def test_uncertainty_gives_each_region_its_turn_once_the_noise_is_gone() -> None:
    facts = cohort()
    labelled = [Facts(f"done{number}", facts[0].embedding) for number in range(60)]
    order = [place.id for place in STRATEGIES["uncertainty"](Pool(tuple(facts), tuple(labelled)))]
    assert order[0] == "a9"  # the whole tumour's turn
    assert order[1] in ("a0", "b0", "c0")  # the enhancing one's
    assert order[2] == "a8"


def test_the_noise_fades() -> None:
    assert power(0) == pytest.approx(1)
    assert power(40) == power(400) == pytest.approx(100)
    assert power(10) < power(20)


def directions(kind: int, count: int, spread: float = 0.05) -> list[np.ndarray]:
    """Return vectors that are all equally far from each other, around an axis of their own."""
    return [unit(np.eye(32)[kind] + spread * np.eye(32)[8 + 4 * kind + n]) for n in range(count)]


def test_hybrid_asks_for_doubt_before_the_first_label() -> None:
    vectors = directions(0, 4)
    found = [Facts(f"f{n}", vectors[n], {"WT": 0.3 + 0.1 * n, "ET": 0.4}) for n in range(3)]
    nothing = Facts("nothing", vectors[3], {"WT": 0.6, "ET": 0.0})
    order = STRATEGIES["hybrid"](Pool((nothing, *found)))
    assert [place.id for place in order] == ["f2", "f1", "f0", "nothing"]
    assert "WT 0.50, ET 0.40" in order[0].reason


def test_hybrid_asks_for_a_study_without_some_sequence_in_its_turn() -> None:
    vectors = directions(0, 3)
    complete = [Facts(f"f{n}", vectors[n], {"WT": 0.3 + 0.2 * n, "TC": 0.4, "ET": 0.4}) for n in range(2)]
    without_t1ce = Facts("flair", vectors[2], {"WT": 0.4})
    order = STRATEGIES["hybrid"](Pool((without_t1ce, *complete)))
    assert [place.id for place in order] == ["f1", "flair", "f0"]


def test_hybrid_puts_off_what_is_much_like_a_labelled_one() -> None:
    first, second, third, fourth = directions(0, 4)
    twin = Facts("twin", unit(first + 0.001 * np.eye(32)[31]), {"WT": 0.9})
    others = [
        Facts("b", second, {"WT": 0.5}),
        Facts("c", third, {"WT": 0.4}),
        Facts("d", fourth, {"WT": 0.3}),
    ]
    order = STRATEGIES["hybrid"](Pool((twin, *others), (Facts("a", first),)))
    assert [place.id for place in order] == ["b", "c", "d", "twin"]
    assert "is more like it than usual" in order[-1].reason
    alone = STRATEGIES["hybrid"](Pool((twin, *others)))
    assert alone[0].id == "twin"


def test_hybrid_does_not_begin_with_an_outlier() -> None:
    crowd = [Facts(f"c{n}", vector, {"WT": 0.6}) for n, vector in enumerate(directions(1, 5))]
    outlier = Facts("o", unit(-np.eye(32)[1]), {"WT": 0.5})
    labelled = tuple(Facts(f"x{n}", vector) for n, vector in enumerate(directions(0, 5)))
    assert STRATEGIES["hybrid"](Pool((outlier, *crowd), labelled))[0].id[0] == "c"


def test_hybrid_is_the_cold_start_and_says_so_where_no_model_finds_anything() -> None:
    facts = tuple(Facts(each.id, each.embedding, {"WT": 0.0}) for each in cohort())
    order = STRATEGIES["hybrid"](Pool((*facts, Facts("new"))))
    assert [p.id for p in order] == [p.id for p in STRATEGIES["coldstart"](Pool((*facts, Facts("new"))))]
    assert all("no model is unsure about any study yet" in place.reason for place in order[:-1])
    assert "not been scored" in order[-1].reason


@pytest.mark.parametrize("name", ["coldstart", "uncertainty", "hybrid"])
def test_scores_of_a_version_before_are_not_mixed_with_those_of_the_next(name: str) -> None:
    facts = [replace(each, model="m@1", encoder="m@1") for each in cohort()]
    rng = np.random.default_rng(1)
    newer = [
        replace(
            each,
            embedding=unit(rng.standard_normal(8)),
            entropy={"WT": 9.0, "ET": 9.0},
            model="m@2",
            encoder="m@2",
        )
        for each in facts[:5]
    ]
    alone = STRATEGIES[name](Pool(tuple(facts[5:])))
    order = STRATEGIES[name](Pool((*newer, *facts[5:])))
    assert order[: len(alone)] == alone
    assert all("not been scored yet" in place.reason for place in order[len(alone) :])
    labelled = replace(facts[6], id="done", encoder="m@2")
    assert nearest_labelled(Pool(tuple(facts), (labelled,)), "a6") is None


def test_background_does_not_drown_a_small_doubtful_lesion() -> None:
    small, sure = np.zeros((40, 40, 40)), np.zeros((40, 40, 40))
    small[:10, :10, :10] = 0.5
    sure[:10, :10, :10] = 0.999
    assert region_entropies({"WT": small}, 0.008)["WT"] > 0.9
    assert region_entropies({"WT": sure}, 0.008)["WT"] < 0.05
    assert region_entropies({"WT": np.zeros((4, 4, 4))}, 0.008)["WT"] == 0


def test_the_nearest_labelled_study_is_named() -> None:
    facts = cohort()
    pool = Pool(tuple(facts[1:]), (facts[0],))
    assert nearest_labelled(pool, "a3") == "a0"
    assert nearest_labelled(Pool(tuple(facts)), "a3") is None
