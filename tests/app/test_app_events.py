"""Progress pushed by a real server: what comes, that a client can leave, and that none keeps it from stopping."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from app_server import running, wait_for

from brainmvp.annotation.status import TrainingFile, TrainingStatus


class Listener:
    """Collects the events of a server in a thread, as (name, value), until it leaves or the stream ends."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[str, object]] = []
        self._answer = requests.get(f"{url}/events", stream=True, timeout=60)
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        name = ""
        for line in self._answer.iter_lines(decode_unicode=True):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                self.events.append((name, json.loads(line.removeprefix("data: "))))

    def of(self, kind: str) -> list[object]:
        return [value for name, value in self.events if name == kind]

    def ended(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


@pytest.fixture
def connections() -> Iterator[list[requests.Response]]:
    opened: list[requests.Response] = []
    yield opened
    for answer in opened:
        answer.close()


def test_progress_is_pushed_to_whoever_listens(
    write_study: Callable[..., Path], tmp_path: Path, home: Path, connections: list[requests.Response]
) -> None:
    studies = tmp_path / "cohort"
    write_study("p1", "T1CE FLAIR", studies)
    with running(studies, home) as server:
        listener = Listener(server.url)
        wait_for(lambda: len(listener.events) >= 2)
        assert listener.events == [("training", None), ("inferences", [])]

        def infer_and_hear() -> bool:
            """Segment once more: so small a study may be done between two looks of the stream."""
            server.call("POST", "/infer/tumour", params={"image": "p1", "output": "json"}).raise_for_status()
            return len(listener.of("inferences")) > 2

        wait_for(infer_and_hear)
        wait_for(lambda: listener.of("inferences")[-1] == [])
        told = [one for now in listener.of("inferences") for one in now]
        assert {(one["model"], one["image"]) for one in told} == {("tumour", "p1")}
        assert all(one["step"] and 0 <= one["fraction"] <= 1 for one in told)

        status = TrainingStatus("tumour", "done", "It is done.", 2, 2, 0.5, 0.7)
        TrainingFile(studies).write(status)  # what the process that trains does
        wait_for(lambda: len(listener.of("training")) == 2)
        assert listener.of("training")[-1]["message"] == "It is done."

        def files() -> int:
            return len(os.listdir(f"/proc/{server.pid}/fd"))

        if Path("/proc").is_dir():
            before = files()
            connections += [requests.get(f"{server.url}/events", stream=True, timeout=60) for _ in range(5)]
            wait_for(lambda: files() >= before + 5)
            for answer in connections:
                answer.close()
            wait_for(lambda: files() <= before, 10)
        begin = time.monotonic()
    assert time.monotonic() - begin < 15  # stopped, although one listens
    assert listener.ended(5)
