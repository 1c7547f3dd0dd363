"""The MONAI Label server: where its app lies, how it starts, and one that runs for the length of a block."""

import errno
import importlib.util
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from brainmvp.errors import BrainMVPError

LOOPBACK = "127.0.0.1"
# MONAI Label's own requirements bring torchvision, which breaks beside a CPU build of PyTorch and is not needed.
INSTALL_MONAI_LABEL = "pip install --no-deps monailabel==0.8.5"

_START_SECONDS = 180.0  # a first start on a slow disk reads some 2 GB of libraries
_STOP_SECONDS = 15.0
_TAIL_LINES = 15


@dataclass(frozen=True)
class Server:
    """A server that answers: its address, and the file that its log goes to."""

    url: str
    log: Path

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:])


def app_folder() -> Path:
    """Return the folder of the MONAI Label app: inside an installed package, or beside `lib` in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "monailabel_app", here.parents[1] / "MONAILabelApp"):
        if (folder / "main.py").is_file():
            return folder
    raise BrainMVPError("The server app is missing from this installation; install brainmvp again.")


def check_can_serve(studies: Path | str, host: str, port: int) -> None:
    """Raise `BrainMVPError` if there is no such folder, the port cannot be had or MONAI Label is not installed.

    It is raised for an archive's address that `check_address` refuses, too.
    """
    if is_archive(studies):
        check_address(str(studies))
    elif not Path(studies).is_dir():
        raise BrainMVPError(f"{studies} is not a folder; give the folder that holds the studies.")
    if importlib.util.find_spec("monailabel") is None:
        raise BrainMVPError(f"MONAI Label is not installed; run `{INSTALL_MONAI_LABEL}`.")
    if not port_is_free(host, port):
        raise BrainMVPError(f"Port {port} of {host} is in use; choose another one with --port.")


def serve_studies(
    studies: Path | str,
    host: str,
    port: int,
    origins: tuple[str, ...] = (),
    conf: dict[str, str] | None = None,
) -> None:
    """Run the server in this process until it is stopped.

    origins: web pages from elsewhere that may call it; conf: the app's settings, as `MONAILabelApp/README.md` lists
    them. Raises what `check_can_serve` raises.
    """
    check_can_serve(studies, host, port)
    app = app_folder()
    sys.argv = [str(app / "main.py"), *_arguments(studies, host, port, origins, conf or {})]
    sys.path.insert(0, str(app))  # as if Python had been started on the file
    runpy.run_path(str(app / "main.py"), run_name="__main__")


@contextmanager
def running_server(studies: Path | str, device: str = "auto") -> Iterator[Server]:
    """Run a server on a free port of loopback while the block runs.

    Raises what `check_can_serve` raises, or `BrainMVPError` with the end of the log if the server does not come up.
    """
    port = free_port()
    check_can_serve(studies, LOOPBACK, port)
    command = [
        sys.executable,
        str(app_folder() / "main.py"),
        *_arguments(studies, LOOPBACK, port, (), {"device": device}),
    ]
    with tempfile.TemporaryDirectory(prefix="brainmvp-server-", ignore_cleanup_errors=True) as folder:
        server = Server(f"http://{LOOPBACK}:{port}", Path(folder) / "server.log")
        with server.log.open("w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _wait_until_ready(process, server)
            yield server
        finally:
            _stop(process)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def port_is_free(host: str, port: int) -> bool:
    """Tell whether no other program listens there.

    Raises `BrainMVPError` if the host is no address of this computer, or the system keeps the port from this user.
    """
    elsewhere = BrainMVPError(f"{host} is no address of this computer; use {LOOPBACK} or 0.0.0.0.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise elsewhere from error
    with socket.socket(family) as probe:
        # As the server does: a port in TIME_WAIT is free. On Windows the option means sharing.
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:  # of another computer, or this one as others see it
                raise elsewhere from error
            if error.errno == errno.EACCES:
                raise BrainMVPError(
                    f"The system keeps port {port} for others; choose another one with --port, such as 8000."
                ) from error
            return False
    return True


def is_archive(studies: Path | str) -> bool:
    """Tell whether what is served is the address of a DICOMweb archive and not a folder."""
    return str(studies).startswith(("http://", "https://"))


def check_address(address: str) -> None:
    """Raise `BrainMVPError` if an archive's address is none, or holds a user or a password: it is logged."""
    if (
        "@" in address
    ):  # anywhere: a password may hold what ends the name of a host; the sentence does not show it
        raise BrainMVPError(
            "The archive's address holds a user or a password, and it is logged; leave them out, and set "
            "MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD instead (write an @ in a filter as %40)."
        )
    try:
        urlsplit(address)
    except ValueError as error:
        raise BrainMVPError(
            f"{address} is no address of an archive; give one such as http://host:8042/dicom-web."
        ) from error


def _arguments(
    studies: Path | str, host: str, port: int, origins: tuple[str, ...], conf: dict[str, str]
) -> list[str]:
    allowed = [part for origin in origins for part in ("--allow-origin", origin)]
    place = str(studies) if is_archive(studies) else str(Path(studies).resolve())
    places = ["--studies", place, "--host", host, "--port", str(port)]
    settings = [part for key, value in conf.items() for part in ("--conf", key, value)]
    return [*places, *allowed, *settings]


def answers(url: str) -> bool:
    """Tell whether a server of this computer answers at an address, whatever proxy the environment names for others."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5):
            return True
    except OSError:  # nobody listens yet
        return False


def _wait_until_ready(process: subprocess.Popen, server: Server) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BrainMVPError(f"The server stopped while starting; its log ends with:\n{server.log_tail()}")
        if answers(f"{server.url}/info/"):
            return
        time.sleep(0.2)
    raise BrainMVPError(
        f"The server did not answer in {_START_SECONDS:.0f} s; its log ends with:\n{server.log_tail()}"
    )


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
