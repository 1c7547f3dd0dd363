"""Starts the MONAI Label server with this app: on loopback, closed to web pages that are not listed, tracking off.

The stock command does the same on all interfaces; it also writes folders into the app's own, which an installed
wheel may not allow.
"""

import argparse
import importlib
import json
import os
import socket
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance

from brainmvp.errors import BrainMVPError
from brainmvp.serve import check_address, is_archive

_APP = Path(__file__).parents[1]
_NOT_STARTED = 3  # the exit status of uvicorn's own command
_BAD_INPUT = 2  # as of `brainmvp`
_running: uvicorn.Server | None = None


def serve(
    studies: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    origins: tuple[str, ...] = (),
    conf: dict[str, str] | None = None,
) -> None:
    """Serve the studies of a folder or a DICOMweb archive until interrupted; ready when `GET /info/` answers.

    origins: the web pages that may call the server from a browser, such as `http://localhost:3000`;
    conf: the app's settings, see `Conf`. Raises `BrainMVPError` if one of them, an origin, the archive's address
    or what is kept beside the studies cannot be used.
    """
    for origin in origins:
        _check_origin(origin)
    if is_archive(str(studies)):
        check_address(str(studies))  # before MONAI Label logs it
    else:
        studies = Path(studies).resolve()
        studies.mkdir(parents=True, exist_ok=True)
    chosen = {
        "MONAI_LABEL_APP_DIR": str(_APP),
        "MONAI_LABEL_STUDIES": str(studies),
        "MONAI_LABEL_APP_CONF": conf or {},
        "MONAI_LABEL_SERVER_PORT": port,
        "MONAI_LABEL_CORS_ORIGINS": list(origins),
        "MONAI_LABEL_TRACKING_ENABLED": False,
    }
    for name, value in chosen.items():
        setattr(settings, name, value)
        # The processes that MONAI Label starts for long tasks read the environment.
        os.environ[name] = value if isinstance(value, str) else json.dumps(value)
    global _running
    _running = uvicorn.Server(uvicorn.Config("monailabel.app:app", host=host, port=port))
    # Here, because uvicorn would show the traceback of what the app refuses to start with.
    # It reads the settings, and the app puts its rules on it; it prints that any origin may call, which is not so here.
    with redirect_stdout(None):
        importlib.import_module("monailabel.app")
    app_instance()
    with suppress(KeyboardInterrupt):
        _running.run()
    if not _running.started:
        sys.exit(_NOT_STARTED)


def stopping() -> bool:
    """Tell whether the server that `serve` started was told to stop: it waits until every answer is given."""
    return _running is not None and _running.should_exit


def own_names() -> set[str]:
    """Return the names that are this server's without being listed: that of `--host`, and this computer's own.

    It may wait for a name server.
    """
    names = {_running.config.host.lower()} if _running else set()
    with suppress(OSError, UnicodeError):  # a computer's name may be none of the internet
        names.add(socket.getfqdn().lower())
    return names


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", required=True, help="folder of studies, or http://host/dicom-web")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--allow-origin", action="append", default=[], help="web page that may call the server"
    )
    parser.add_argument("--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    args = parser.parse_args()
    try:
        serve(args.studies, args.host, args.port, tuple(args.allow_origin), dict(args.conf))
    except BrainMVPError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(_BAD_INPUT)


def _check_origin(origin: str) -> None:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or "*" in origin:
        raise BrainMVPError(
            f"--allow-origin {origin} names no web page's origin; give its scheme, host and port, such as "
            "http://localhost:3000."
        )
