"""Start on this computer: a local server for those who have none."""

from __future__ import annotations

import time
from pathlib import Path

import requests

from .background import Job
from .errors import ModuleError
from .local_server import LocalServer, usual_address
from .session import Session
from .transport import DIRECT

# What the server says that is not to be the second one on a folder.
_SECOND = "Another server works on"
_START_SECONDS = 180.0  # a first start on a slow disk reads some 2 GB of libraries


class Serving:
    """Starts the local server, connects to it when it answers, and stops it."""

    def __init__(self, session: Session, server: LocalServer) -> None:
        self.session = session
        self.server = server

    def start(self, studies: Path) -> None:
        """Serve the studies below a folder."""
        session, server = self.session, self.server
        with session.refusing():

            def work(job: Job) -> str:
                url = server.start(studies)
                begin = time.monotonic()
                try:
                    while not _answers(url):
                        waited = time.monotonic() - begin
                        other = usual_address(studies)
                        if not server.running and _SECOND in server.tail() and _answers(other):
                            return other  # left over from a Slicer that ended badly
                        if not server.running or waited > _START_SECONDS:
                            raise ModuleError(
                                "The server did not start; the details show its log.", server.tail()
                            )
                        job.report(f"The server is starting, {waited:.0f} s", None)
                        time.sleep(0.3)
                except BaseException:
                    server.stop()
                    raise
                return url

            session.wait_for("Starting the server", work, session.connect)

    def stop(self) -> None:
        """Stop the local server; what is not sent yet waits for the next one."""
        session, server = self.session, self.server
        with session.refusing():

            def stopped(_: None) -> None:
                session.disconnect()
                session.said.emit("The server on this computer is stopped.")

            session.wait_for("Stopping the server", lambda job: server.stop(), stopped)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/info/", timeout=5, proxies=DIRECT).ok
    except requests.RequestException:
        return False
