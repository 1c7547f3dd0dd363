"""One MONAI Label server for all tests of the app, and studies for it."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed")

from app_server import APP, Server, started, stock_command
from noted_folder import scan

from brainmvp.modelstore import ModelStore
from brainmvp.serve import free_port
from brainmvp.volume import Volume, read_volume, write_volume

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Server]:
    """A server started by the stock command, inside the studies folder: there an id is also a relative path."""
    studies = tmp_path_factory.mktemp("server") / "studies"
    studies.mkdir()
    port = free_port()
    with started(stock_command(studies, port), studies, tiny_models, port, cwd=studies) as running:
        yield running


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the app be imported."""
    monkeypatch.syspath_prepend(str(APP))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of three studies of FLAIR, two of them in a folder of their own."""
    for name in ("p1", "siteA/p2", "siteA/p3"):
        scan(tmp_path / "studies" / name / "flair.nii.gz")
    return tmp_path / "studies"


@pytest.fixture(autouse=True)
def log_of_a_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what the server logged during a test: pytest shows it if the test fails."""
    running = request.getfixturevalue("server") if "server" in request.fixturenames else None
    start = running.log.stat().st_size if running else 0
    yield
    if running:
        with running.log.open("rb") as log:
            log.seek(start)
            print(log.read().decode("utf-8", "replace")[-6000:])


@pytest.fixture
def new_study(server: Server, write_study: Callable[..., Path]) -> Callable[[str], str]:
    """Return a function that puts a new study with some sequences into the server's folder and returns its id."""

    def make(sequences: str) -> str:
        name = f"patient{next(_NUMBERS):03d}"
        write_study(name, sequences, server.studies)
        return name

    return make


@pytest.fixture
def write_label(server: Server, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a label on the grid that a study's labels have to lie on."""

    def write(study: str, values: tuple[float, ...] = (1, 2, 3), suffix: str = ".nii.gz") -> Path:
        grid = read_volume(server.get_json("/datastore/image/info", image=study)["path"])
        data = np.zeros(grid.shape, np.uint8)
        for number, value in enumerate(values):
            data[20 + 4 * number : 23 + 4 * number, 20:26, 8:12] = value
        return write_volume(Volume(data, grid.affine), tmp_path / f"label{suffix}")

    return write


@pytest.fixture
def home(tiny_models: Path, tmp_path: Path) -> Path:
    """A model store of the test's own, with the small random models."""
    store = ModelStore(tmp_path / "home")
    for name in ("tumour", "stroke"):
        model = ModelStore(tiny_models).resolve(name)
        store.serve(name, store.add(model.card, model.load_weights()).card.version)
    return tmp_path / "home"
