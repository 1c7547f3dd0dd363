"""Leases, scores, held-out sets and the gate: what is kept beside the studies."""

import sqlite3
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from brainmvp.annotation.cases import patient_of
from brainmvp.annotation.database import Database
from brainmvp.annotation.gate import TOLERANCE, Comparison
from brainmvp.annotation.held_out import choose_held_out, read_held_out
from brainmvp.annotation.leases import Leases
from brainmvp.annotation.scores import Basis, Scores
from brainmvp.annotation.status import TrainingFile, TrainingStatus
from brainmvp.errors import BrainMVPError
from brainmvp.selection import Facts, Pool
from brainmvp.selection.coldstart import coldstart


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_ends_and_skipped_studies_come_last(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(Database(tmp_path), 60, clock)
    order = ["a", "b", "c"]
    assert leases.take(order, "A").study == "a"
    assert leases.take(order, "B").study == "b"
    leases.skip("b", "B", "moved")
    assert leases.take(order, "B").study == "c"
    assert leases.take(order, "C").study == "b"
    assert leases.take(order, "D") is None
    clock.now += 61
    assert leases.holder("a") is None
    assert leases.take(order, "D").study == "a"


def test_asking_again_gives_another_study_while_there_is_one(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(Database(tmp_path), 60, clock)
    got = []
    for _ in range(4):
        got.append(leases.take(["a", "b", "c"], "A").study)
        clock.now += 1
    assert got == ["a", "b", "c", "a"]


def test_who_asks_on_and_on_keeps_the_last_few_and_the_drafts(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(Database(tmp_path), 60, clock)
    order = list("abcdefg")
    for study in order:
        assert leases.take(order, "A").study == study
        clock.now += 1
        if study == "a":
            leases.renew("a", "A")
    assert "".join(study for study in order if leases.holder(study)) == "acdefg"
    assert leases.take(order, "B").study == "b"


def test_a_draft_that_is_proposed_again_stays_reserved(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(Database(tmp_path), 60, clock)
    order = list("abcdefgh")
    assert leases.take(order, "A").study == "a"
    clock.now += 1
    leases.renew("a", "A")
    proposed = []
    while len(proposed) < 14:
        clock.now += 1
        proposed.append(leases.take(order, "A").study)
    assert proposed.count("a") == 1
    assert leases.holder("a").annotator == "A"


def test_a_draft_of_a_study_that_was_never_given_and_after_a_restart_is_one(tmp_path: Path) -> None:
    clock, order = Clock(), list("abcdefgh")
    Leases(Database(tmp_path), 60, clock).renew("a", "A")
    leases = Leases(Database(tmp_path), 600, clock)  # started with another time
    for _ in order[1:]:
        clock.now += 1
        assert not leases.take(order, "A").draft
    assert leases.holder("a").as_json()["draft"]
    clock.now += 1
    again = leases.take(order, "A")
    assert (again.study, again.draft) == ("a", True)
    clock.now += 601
    other = leases.take(["a"], "B")
    assert (other.study, other.draft) == ("a", False)


def test_a_draft_comes_again_to_its_annotator_once_its_time_is_up_and_late_to_others(tmp_path: Path) -> None:
    clock, order = Clock(), list("abcd")
    leases = Leases(Database(tmp_path), 60, clock)
    assert leases.take(order, "A").study == "a"
    leases.renew("a", "A")
    clock.now += 90
    assert leases.take(order, "B").study == "b"
    again = leases.take(order, "A")
    assert (again.study, again.draft) == ("a", True)
    leases.release("a")  # another study is asked for
    clock.now += 1
    assert leases.take(order, "A").study == "c"
    clock.now += 60
    assert leases.take(order, "A").study == "a"
    clock.now += 61
    assert [leases.take(order, "C").study for _ in range(4)] == ["b", "c", "d", "a"]


def test_a_file_of_before_there_were_drafts_is_read(tmp_path: Path) -> None:
    path = tmp_path / ".brainmvp" / "annotation.sqlite"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE leases (study TEXT PRIMARY KEY, annotator TEXT NOT NULL, given REAL NOT NULL, "
                           "expires REAL NOT NULL)")  # fmt: skip
        connection.execute("INSERT INTO leases VALUES ('a', 'A', 990, 1050)")
    leases = Leases(Database(tmp_path), 60, Clock())
    assert not leases.holder("a").draft
    leases.renew("a", "A")
    assert leases.holder("a").draft


def test_who_gives_each_study_back_sees_all_of_them(tmp_path: Path) -> None:
    clock, order = Clock(), list("abcd")
    leases = Leases(Database(tmp_path), 60, clock)
    seen = []
    for _ in range(8):
        study = leases.take(order, "A").study
        if seen:
            leases.release(seen[-1])
        seen.append(study)
        clock.now += 1
    assert "".join(seen) == "abcdabcd"
    assert leases.holder("a") is None
    assert leases.take(order, "B").study == "a"


def test_threads_never_get_the_same_study(tmp_path: Path) -> None:
    database, got = Database(tmp_path), []
    order = [str(number) for number in range(40)]

    def ask(name: str) -> None:
        leases = Leases(database)
        got.extend(leases.take(order, name).study for _ in range(5))

    threads = [Thread(target=ask, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == order


def test_scores_come_back_as_they_were(tmp_path: Path) -> None:
    scores = Scores(Database(tmp_path))
    vector = np.arange(5, dtype=np.float32)
    scores.store(Facts("a", vector, {"WT": 0.25}), "tumour", Basis("f", "tumour@1", "encoder@1"))
    scores.store(Facts("b"), "tumour", Basis("f", "tumour@1", "encoder@1"), "b.nii.gz cannot be read")
    facts = Scores(Database(tmp_path)).facts("tumour")
    assert np.array_equal(facts["a"].embedding, vector)
    assert facts["a"].entropy == {"WT": 0.25}
    assert facts["b"].embedding is None
    assert (facts["a"].failed, facts["b"].failed) == (False, True)
    places = {place.id: place.reason for place in coldstart(Pool((facts["b"], Facts("c"))))}
    assert places["b"] == "it could not be scored, so it was drawn by chance"
    assert places["c"] == "it has not been scored yet, so it was drawn by chance"
    assert scores.bases("tumour")["a"] == Basis("f", "tumour@1", "encoder@1")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".brainmvp" / "annotation.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 100)
    with pytest.raises(BrainMVPError, match=r"annotation\.sqlite is damaged .*; move it away"):
        Database(tmp_path)


def test_what_fails_halfway_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(ZeroDivisionError), database.writing() as connection:  # noqa: PT012  (the block is the claim)
        connection.execute("INSERT INTO skips VALUES ('a', 'A', 'x', 0)")
        raise ZeroDivisionError
    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM skips").fetchone()[0] == 0


def test_the_held_out_set_is_drawn_once_by_patient(tmp_path: Path) -> None:
    labelled = [f"sub-{number:02d}_ses-{visit}" for number in range(10) for visit in (1, 2)]
    chosen = choose_held_out(tmp_path, "tumour", labelled, now=0.0)
    assert (len(chosen.patients), chosen.of) == (3, 10)
    more = [*labelled, "sub-77_ses-1"]
    assert choose_held_out(tmp_path, "tumour", more, now=9.0) == chosen == read_held_out(tmp_path, "tumour")
    patient = chosen.patients[0]
    assert chosen.holds(f"{patient}_ses-9")
    assert patient_of("tumour-0001") == "tumour-0001"
    (tmp_path / ".brainmvp" / "held-out-tumour.json").write_text("{}")
    with pytest.raises(BrainMVPError, match="is damaged; restore it"):
        read_held_out(tmp_path, "tumour")


def test_the_held_out_set_grows_with_patients_who_never_taught(tmp_path: Path) -> None:
    first = choose_held_out(tmp_path, "tumour", [f"p{number:02d}" for number in range(6)], now=0.0)
    assert len(first.patients) == 3
    more = [f"p{number:02d}" for number in range(30)]
    taught = {f"p{number:02d}" for number in range(28)} - set(first.patients)
    second = choose_held_out(tmp_path, "tumour", more, now=9.0, taught=taught)
    assert set(second.patients) == {*first.patients, "p28", "p29"}
    assert read_held_out(tmp_path, "tumour") == second
    third = choose_held_out(
        tmp_path, "tumour", [*more, *(f"q{number}" for number in range(9))], 9.0, taught=taught
    )
    assert len(third.patients) == 8
    assert set(third.patients) > set(second.patients)
    renamed = [
        "renamed",
        *first.patients[1:],
        "p1",
        "p2",
    ]  # those who are left to learn from are not taken away
    assert choose_held_out(tmp_path, "tumour", renamed, now=9.0) == third
    assert first.missing(["renamed", f"{first.patients[1]}"]) == [first.patients[0], first.patients[2]]


def test_the_gate_compares_in_pairs_with_a_tolerance() -> None:
    assert not Comparison("m@1", "m@2", ()).passes
    cases = (("a", 0.9, 0.9 - TOLERANCE / 2), ("b", 0.4, 0.4))
    assert Comparison("m@1", "m@2", cases).passes
    worse = Comparison("m@1", "m@2", (("a", 0.9, 0.8), ("b", 0.4, 0.45)))
    assert not worse.passes
    assert worse.sentence.startswith("m@2 is worse: on 2 held-out studies its mean Dice differs by -0.0250")


def test_a_look_at_whether_a_training_runs_keeps_none_from_starting(tmp_path: Path) -> None:
    held = Event()

    def look() -> None:  # as `running` does, but longer
        file = TrainingFile(tmp_path)
        file.begin()
        held.set()
        time.sleep(0.1)
        file.end()

    looking = Thread(target=look)
    looking.start()
    held.wait()
    file = TrainingFile(tmp_path)
    file.begin()
    looking.join()
    assert TrainingFile(tmp_path).running()
    file.end()
    assert not file.running()


def test_a_training_that_no_process_works_on_says_how_it_ended(tmp_path: Path) -> None:
    file = TrainingFile(tmp_path)
    file.announce("tumour")
    assert file.read(starting=True).state == "preparing"
    assert file.read().message == "The training was interrupted while preparing; start it again to go on."
    file.write(TrainingStatus("tumour", "training", "Epoch 2 of 5.", 2, 5, 0.5, 0.25, 60.0))
    file.ask_to_stop()
    stopped = file.read()
    assert (stopped.state, stopped.epoch, stopped.dice, stopped.seconds_left) == ("stopped", 2, 0.25, None)
    assert stopped.message == "The training was stopped in epoch 2; start it again to go on."
