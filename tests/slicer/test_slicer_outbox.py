"""A label waits until the server has it, in the order of drawing, and somebody is told what became of it."""

import resource
import shutil
import threading
import time
from functools import partial

import numpy as np
import pytest
from BrainMVPLib.client import Client
from BrainMVPLib.errors import ServerError
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.opening import Opening
from BrainMVPLib.outbox import Outbox
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting
from drawing import draw, until


def submit_while_away(session, stock, settle):
    """Submit a final label while the server takes none."""
    stock.wrong["/datastore/label"] = 503
    Submitting(session).submit("final")
    settle(session)


def test_whose_label_another_one_takes_the_place_of_is_told(opened, stock, settle):
    stock.stored = {"replaced": "Ben"}
    Submitting(opened).submit("final")
    settle(opened)
    assert "It takes the place of the label of Ben" in opened.heard[-1]


def test_whose_label_is_replaced_by_one_that_waited_is_told(opened, stock, settle):
    submit_while_away(opened, stock, settle)
    stock.wrong.clear()
    stock.stored = {"replaced": "Ben"}
    opened.send_waiting()
    settle(opened)
    assert opened.heard[-1].startswith(
        "1 waiting label sent. The label of first takes the place of the label of Ben"
    )


def test_who_leaves_a_submission_is_told_that_the_label_goes_out(opened, stock, settle):
    stock.wrong["/datastore/label"] = "slow"
    Submitting(opened).submit("final")
    until(lambda: "PUT /datastore/label" in stock.calls)
    opened.leave()
    assert opened.heard[-1] == "Submit: left. The label of first is kept here and sent."
    stock.release.set()
    until(lambda: stock.received)
    opened.send_waiting()
    settle(opened)
    until(lambda: opened.outbox.letters() == [])
    Opening(opened).next_study()  # nothing is left unsent
    settle(opened)
    assert (opened.errors, opened.state.study) == ([], "second")
    assert "POST /studies/release" not in stock.calls


def test_a_label_that_is_refused_after_it_was_left_stays_and_says_why(opened, monkeypatch):
    refuse = threading.Event()

    def refused(*args):
        refuse.wait(20)
        raise ServerError("It does not fit.", status=422)

    monkeypatch.setattr(Client, "submit_label", refused)
    Submitting(opened).submit("final")
    until(lambda: opened.outbox.letters())
    opened.leave()
    refuse.set()
    until(lambda: opened.outbox.letters()[0].problem == "It does not fit.")


def test_an_older_label_that_waits_never_comes_after_the_newer_one(opened, stock, settle):
    stock.wrong["/datastore/label"] = 503
    for tag in ("draft", "final"):
        Submitting(opened).submit(tag)
        settle(opened)
    stock.wrong.clear()
    draw(opened.state.segmentation)
    Submitting(opened).submit("final")
    settle(opened)
    opened.send_waiting()
    settle(opened)
    assert opened.outbox.letters() == []
    assert len(stock.received) == 1


def test_a_label_that_waits_outlives_the_refusal_of_a_newer_one(opened, stock, settle):
    submit_while_away(opened, stock, settle)
    waits = opened.outbox.letters()
    stock.wrong["/datastore/label"] = 422
    draw(opened.state.segmentation)
    Submitting(opened).submit("final")
    settle(opened)
    assert len(opened.errors) == 1
    assert opened.outbox.letters() == waits != []


def test_a_label_outlives_the_scene_that_is_closed_while_it_goes_up(opened, stock):
    Submitting(opened).submit("final")
    opened.close()
    for thread in threading.enumerate():
        if thread.name == "BrainMVP Submit":
            thread.join(60)
    assert opened.outbox.letters() or any(body.endswith(b"--\r\n") for body in stock.received)


@pytest.mark.parametrize(("status", "again"), [(404, False), (401, True), (429, True), (507, True)])
def test_what_was_not_sent_is_not_called_sent_and_hinders_no_other(opened, stock, settle, status, again):
    submit_while_away(opened, stock, settle)
    Submitting(opened).submit("draft")
    settle(opened)
    stock.wrong["/datastore/label"] = status
    heard, calls = len(opened.heard), len(stock.calls)
    opened.send_waiting()
    settle(opened)
    assert stock.calls[calls:].count("PUT /datastore/label") == 2
    assert (opened.heard[heard:], opened.errors, len(opened.outbox.letters())) == ([], [], 2)
    opened.send_waiting(asked=True)  # by its button
    settle(opened)
    assert opened.errors.pop()
    stock.wrong.clear()
    opened.send_waiting()
    settle(opened)
    assert len(stock.received) == (2 if again else 0)
    opened.send_waiting(asked=True)
    settle(opened)
    assert (len(stock.received), opened.outbox.letters()) == (2, [])


def test_a_label_waits_while_the_server_is_away_and_is_sent_once(study, stock, settle):
    Segmenting(study).segment()
    settle(study)
    submit_while_away(study, stock, settle)
    assert study.errors == []
    assert "sent by itself later" in study.heard[-1]
    Submitting(study).submit("final")
    settle(study)
    assert len(study.outbox.letters()) == 1
    study.send_waiting()
    settle(study)
    assert len(study.outbox.letters()) == 1
    stock.wrong.clear()
    study.send_waiting()
    settle(study)
    assert study.outbox.letters() == []
    assert len(stock.labels) == 1
    assert study.heard[-1] == "1 waiting label sent."


def test_a_refused_label_stays_and_says_why(study, stock, settle):
    Segmenting(study).segment()
    settle(study)
    submit_while_away(study, stock, settle)
    stock.wrong["/datastore/label"] = 422
    study.send_waiting()
    settle(study)
    assert "422" in study.outbox.letters()[0].problem
    calls = len(stock.calls)
    study.send_waiting()
    settle(study)
    assert len(stock.calls) == calls


def test_a_waiting_label_with_a_damaged_note_is_told_and_hinders_no_other(tmp_path):
    outbox, label = Outbox(tmp_path / "outbox"), tmp_path / "label.nrrd"
    label.write_bytes(b"label")
    write = partial(shutil.copyfile, label)
    damaged = outbox.put(write, "http://one", "a", "final", {})
    damaged.file.with_suffix(".json").write_text("{")
    outbox.put(write, "http://one", "b", "final", {})
    assert [letter.study for letter in outbox.letters("http://one")] == ["b"]
    told = next(letter for letter in outbox.letters() if letter.study != "b")
    assert damaged.file.stem in told.problem and damaged.file.is_file()


@pytest.mark.parametrize(("edge", "note"), [(40, ""), (2, "x" * 5000)], ids=["label", "note"])
def test_a_full_disk_leaves_no_part_of_a_label_or_its_note(tmp_path, edge, note):
    outbox = Outbox(tmp_path / "outbox")
    voxels = np.random.default_rng(0).integers(0, 4, (edge, edge, edge), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            outbox.put(
                lambda file: write_nrrd(file, voxels, np.eye(4)), "http://one", "a", "final", {"note": note}
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(outbox.folder.iterdir()) == []


def test_waiting_labels_are_in_the_order_of_drawing_whatever_the_clocks_of_the_house_show(
    tmp_path, monkeypatch
):
    outbox = Outbox(tmp_path / "outbox")
    seconds = 1_792_890_000  # 25 October 2026, 01:00 UTC: summer time ends
    monkeypatch.setattr(time, "time_ns", lambda: seconds * 1_000_000_000 + 7)
    before = outbox.put(lambda file: file.write_bytes(b""), "http://one", "of before", "final", {})
    # Earlier versions named them by the local clock.
    for file in (before.file, before.file.with_suffix(".json")):
        file.rename(file.with_name(f"20261025-023000-000000000-of-before{file.suffix}"))
    for study in ("z", "y", "x"):
        outbox.put(lambda file: file.write_bytes(b""), "http://one", study, "final", {})
        seconds += 600
    assert [letter.study for letter in outbox.letters()] == ["of before", "z", "y", "x"]
    assert outbox.letters()[1].file.name == "utc-20261025-010000-000000007-z.nrrd"
