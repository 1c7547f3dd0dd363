"""A training starts when it is due, once, and with what a client may set."""

import errno
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from noted_folder import TUMOUR

from brainmvp.annotation.state import AnnotationState
from brainmvp.annotation.status import TrainingFile, TrainingStatus
from brainmvp.annotation.training import Outcome, Tell


def test_labels_that_have_gone_do_not_put_the_next_training_off(root: Path) -> None:
    from brainmvp_app.training import FineTuning

    state = AnnotationState(root)
    trainer = FineTuning(TUMOUR, (TUMOUR,), state, "cpu")
    trainer._training.cases = lambda: ["a", "b", "c"]
    assert trainer.new_labels() == 3
    for task, detail in (
        ("tumour", {"labels_seen": 8}),
        ("tumour", {"labels_seen": 1}),
        ("stroke", {"labels_seen": 9}),
    ):
        state.journal.add("training", task=task, detail=detail)
    state.journal.add("training", task="tumour", detail={"state": "failed"})
    assert trainer.new_labels() == 2


def test_a_training_ends_with_its_server_though_the_number_of_its_parent_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brainmvp_app.watch import server_watch

    monkeypatch.setattr(os, "getppid", lambda: 1)  # as on Windows
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setenv("BRAINMVP_SERVER", str(server.pid))
    is_gone = server_watch()
    assert not is_gone()
    server.communicate(b"\n", timeout=60)
    assert is_gone() and server_watch()()
    monkeypatch.delenv("BRAINMVP_SERVER")  # a training by hand has none
    assert not server_watch()()


def test_a_status_that_cannot_be_written_ends_no_training(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brainmvp_app.training import FineTuning

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Access is denied")

    def run(options: object, tell: Tell, should_stop: object) -> Outcome:
        tell(TrainingStatus("tumour", "training", "Epoch 1."))
        return Outcome(True, "It is served now.", 2, True)

    monkeypatch.setattr(TrainingFile, "write", refuse)
    state = AnnotationState(root)
    trainer = FineTuning(TUMOUR, (TUMOUR,), state, "cpu")
    trainer._training = SimpleNamespace(labels_of_run=lambda: 6, run=run)
    assert trainer({}, None)["version"] == 2
    assert [event.detail["state"] for event in state.journal.events("training")] == ["started", "finished"]


def test_a_client_names_no_folder_of_modules_and_starts_one_training(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monailabel.utils.async_tasks.task import AsyncTask

    from brainmvp_app import training
    from brainmvp_app.errors import RefusedError
    from brainmvp_app.routes import run_batch

    started: list[dict] = []

    def run(method: str, request: dict, enqueue: bool) -> tuple[dict, None]:
        started.append({"status": "SUBMITTED", "request": request})
        return started[-1], None

    monkeypatch.setattr(AsyncTask, "run", run)  # starts a process
    monkeypatch.setattr(training, "tasks", lambda method: started)
    both = threading.Barrier(2, timeout=0.5)

    def check(request: dict) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait()

    trainer = SimpleNamespace(task=TUMOUR, check=check)
    state, refused = AnnotationState(root), []

    def ask() -> None:
        try:
            training.start_training(trainer, state, {"bundle_path": "/tmp", "epochs": 3})
        except RefusedError as error:
            refused.append(error.status)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one["request"] for one in started] == [{"epochs": 3, "model": "tumour"}]
    assert refused == [429]
    started.append({"status": "DONE"})
    for wish in ("bundle_path", "gpus", "model"):
        with pytest.raises(RefusedError, match=f"may not set {wish}"):
            run_batch(None, "tumour", params={wish: "/tmp"})
