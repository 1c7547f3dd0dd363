"""A real MONAI Label server process for the tests, and what a client needs to talk to it."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from brainmvp.serve import free_port

APP = Path(__file__).parents[2] / "MONAILabelApp"


@dataclass(frozen=True)
class Server:
    """A server on loopback with its studies, a folder or the address of an archive, and its log."""

    url: str
    studies: Path | str
    log: Path
    pid: int

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request; `options` as for `requests.request`."""
        return requests.request(method, self.url + path, timeout=200, **options)

    def refused(self, status: int, method: str, path: str, **options: Any) -> str:
        """Send a request that has to be refused with a status, and return the sentence that says why."""
        answer = self.call(method, path, **options)
        assert answer.status_code == status, answer.text
        assert list(answer.json()) == ["detail"]
        return answer.json()["detail"]

    def get_json(self, path: str, **query: str) -> Any:
        """Return the JSON answer to a GET request that has to succeed."""
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def upload(
        self, study: str, file: Path, params: str = "{}", name: str | None = None
    ) -> requests.Response:
        """Send one sequence of a study."""
        with file.open("rb") as stream:
            files = {"file": (name or file.name, stream)}
            return self.call(
                "PUT", "/datastore/image", params={"image": study}, data={"params": params}, files=files
            )

    def label(self, study: str, file: Path, tag: str = "final", params: str = "{}") -> requests.Response:
        """Submit a label of a study."""
        query = {"image": study, "tag": tag}
        with file.open("rb") as stream:
            files = {"label": (file.name, stream)}
            return self.call("PUT", "/datastore/label", params=query, data={"params": params}, files=files)

    def begin_label(self, study: str, content: bytes) -> socket.socket:
        """Send all but the end of a final label, and return the open connection."""
        address = urlsplit(self.url)
        head = b'--x\r\nContent-Disposition: form-data; name="label"; filename="a.nii.gz"\r\n\r\n'
        connection = socket.create_connection((address.hostname, address.port))
        request = f"PUT /datastore/label?image={study}&tag=final HTTP/1.1\r\nHost: localhost\r\n"
        sizes = (
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(content) + 500}\r\n\r\n"
        )
        connection.sendall((request + sizes).encode() + head + content)
        return connection

    def files(self) -> dict[str, bytes]:
        """Return everything in the studies folder and the folder around it, to see that nothing changed.

        Without the scores, which a thread of the server works out meanwhile.
        """
        around = self.studies.parent
        files = [path for path in sorted(around.rglob("*")) if not path.name.startswith("annotation.sqlite")]
        return {str(path.relative_to(around)): path.read_bytes() for path in files if path.is_file()}


def running(
    studies: Path | str, home: Path, *more: str, largest_file: int | None = None
) -> AbstractContextManager[Server]:
    """Run a server as `brainmvp serve` does, with more of its options, until the block ends; see `started`.

    studies: a folder, or the address of an archive.
    """
    port = free_port()
    return started(own_command(studies, port, *more), studies, home, port, home, largest_file)


@contextmanager
def started(
    command: list[str], studies: Path | str, home: Path, port: int, cwd: Path, largest_file: int | None = None
) -> Iterator[Server]:
    """Run a server process until the block ends; shows the end of its log if it does not come up.

    largest_file: bytes, beyond which the process cannot write, as on a full disk.
    """

    def limit() -> None:
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    log = home / f"server-{port}.log"
    environment = os.environ | {
        "BRAINMVP_HOME": str(home),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }
    if largest_file:  # which would cut what coverage measures short, and spoil the whole
        environment.pop("COVERAGE_PROCESS_CONFIG", None)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT,
                                   preexec_fn=limit)  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", studies, log, process.pid)
    try:
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def stock_command(studies: Path, port: int) -> list[str]:
    """Return MONAI Label's own command for the app."""
    places = ["--app", str(APP), "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "monailabel.main", "start_server", *places]


def own_command(studies: Path | str, port: int, *more: str) -> list[str]:
    """Return the command that `brainmvp serve` runs."""
    return [sys.executable, str(APP / "main.py"), "--studies", str(studies), "--port", str(port), *more]


def wait_for(wanted: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def infer(
    server: Server, study: str, model: str = "tumour", output: str = "json", **params: Any
) -> requests.Response:
    """Ask for an inference on a study, with the parameters that a client may send."""
    query = {"image": study, "output": output}
    return server.call("POST", f"/infer/{model}", params=query, data={"params": json.dumps(params)})


def training(server: Server, seconds: float = 300) -> dict:
    """Wait for the end of a training and return its progress."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = server.get_json("/train/")
        if answer["status"] not in ("SUBMITTED", "RUNNING"):
            return answer["progress"]
        time.sleep(0.3)
    raise AssertionError(server.log.read_text("utf-8")[-4000:])


def _wait(server: Server, process: subprocess.Popen) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        try:
            requests.get(f"{server.url}/info/", timeout=10)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("the server did not start:\n" + server.log.read_text("utf-8", "replace")[-4000:])
