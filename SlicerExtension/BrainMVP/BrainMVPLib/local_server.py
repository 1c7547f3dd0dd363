"""A server on this computer, where `brainmvp` is installed: a process that is started, watched and stopped again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import zlib
from pathlib import Path

from .errors import ModuleError

LOOPBACK = "127.0.0.1"
# Below those that systems give to outgoing connections.
_FIRST_PORT, _PORTS = 10000, 20000
# Of Slicer's own Python and Qt, which another Python must not find.
_SLICERS = ("PYTHONHOME", "PYTHONPATH", "QT_PLUGIN_PATH")
_TAIL_LINES = 12  # of the log, in the details of an error
_CHECKOUT = Path(__file__).resolve().parents[3]  # of the repository, unless the module is installed
_NO_CONSOLE = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, which else opens one


def find_command() -> str | None:
    """Return the `brainmvp` command of this computer, or None where it is not installed.

    A Slicer that was started by its icon does not have `.venv` on its path, in which `make setup` puts the command.
    """
    return (
        os.environ.get("BRAINMVP_COMMAND")
        or shutil.which("brainmvp")
        or shutil.which("brainmvp", path=str(_CHECKOUT / ".venv" / ("Scripts" if os.name == "nt" else "bin")))
    )


class LocalServer:
    """One server process; its output goes to a log file.

    environment: its environment variables, in Slicer those from before Slicer put its own libraries first.
    """

    def __init__(self, log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        self.url = ""
        self._environment = environment
        self._process: subprocess.Popen | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, studies: Path) -> str:
        """Start serving the studies below a folder and return the address, which answers some seconds later."""
        command = find_command()
        if command is None:
            raise ModuleError(
                "There is no brainmvp command on this computer; install it, or set BRAINMVP_COMMAND."
            )
        if not studies.is_dir():
            raise ModuleError(f"{studies} is not a folder; choose the folder that holds the studies.")
        self.stop()
        port = _port_of(studies)
        inherited = os.environ if self._environment is None else self._environment
        environment = {name: value for name, value in inherited.items() if name not in _SLICERS}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            try:
                self._process = subprocess.Popen(
                    [command, "serve", "--studies", str(studies), "--host", LOOPBACK, "--port", str(port)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    creationflags=_NO_CONSOLE,
                )
            except OSError as error:
                raise ModuleError(
                    f"{command} does not start; install brainmvp again.", repr(error)
                ) from error
        self.url = f"http://{LOOPBACK}:{port}"
        return self.url

    def stop(self, seconds: float = 5.0) -> None:
        """Stop the server if it runs."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process = None

    def tail(self) -> str:
        """Return the end of the log."""
        return (
            "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:])
            if self.log.is_file()
            else ""
        )


def usual_address(studies: Path) -> str:
    """Return the address of a folder's server, unless another program had its port: labels wait for the address."""
    return f"http://{LOOPBACK}:{_usual_port(studies)}"


def _usual_port(studies: Path) -> int:
    return _FIRST_PORT + zlib.crc32(str(studies.resolve()).encode("utf-8")) % _PORTS


def _port_of(studies: Path) -> int:
    """Return a free port, at every start the folder's usual one if that is free."""
    for port in (_usual_port(studies), 0):
        with socket.socket() as probe:
            if os.name == "posix":  # as the server does: a port that was just used is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:  # taken by another program
                continue
            return probe.getsockname()[1]
    raise ModuleError("There is no free port on this computer; close other programs.")
