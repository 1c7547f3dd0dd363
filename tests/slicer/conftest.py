"""The real MRML scene of 3D Slicer, a session of the module on it, and a real server for it to work with."""

import importlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before any window of Qt
sys.path.insert(0, str(Path(__file__).parents[2] / "SlicerExtension" / "BrainMVP"))

import slicer
from BrainMVPLib import scene as ops
from BrainMVPLib import transport
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.session import Session
from BrainMVPLib.tables import LabelTable, Structure
from scenes import make_scene
from stock_server import AFFINE, StockServer, answer

_NUMBERS = count(1)


@pytest.fixture
def scene() -> slicer.vtkMRMLScene:
    """The scene of a test."""
    return make_scene()


@pytest.fixture
def session_on(tmp_path: Path) -> Iterator[Callable[[slicer.vtkMRMLScene, object], Session]]:
    """Return a function that makes a session; what it says and where it fails is noted in `heard` and `errors`."""
    sessions = []

    def make(scene: slicer.vtkMRMLScene, parameters: object) -> Session:
        session = Session(scene, parameters, tmp_path / "slicer")
        session.heard, session.errors, session.steps = [], [], []
        session.said.connect(session.heard.append)
        session.failed.connect(lambda error: session.errors.append(error.sentence))
        session.progress.connect(lambda step, fraction: session.steps.append(step))
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def session(scene: slicer.vtkMRMLScene, session_on: Callable[..., Session]) -> Session:
    """A session on the scene of the test."""
    return session_on(scene, scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "BrainMVP"))


@pytest.fixture
def reopened(tmp_path: Path) -> Callable[[slicer.vtkMRMLScene], slicer.vtkMRMLScene]:
    """Return a function that saves a scene as a bundle, and returns it as another Slicer opens it."""

    def save_and_open(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScene:
        bundle = str(tmp_path / f"scene{next(_NUMBERS)}.mrb")
        assert scene.WriteToMRB(bundle)
        again = make_scene()
        assert again.ReadFromMRB(bundle)
        return again

    return save_and_open


@pytest.fixture
def settle() -> Callable[[Session], None]:
    """Return a function that lets a session's work arrive, as Slicer's timer does."""

    def settle(session: Session, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        session.background.drain()
        while session.background.running:
            assert time.monotonic() < end, "the work did not end"
            time.sleep(0.005)
            session.background.drain()

    return settle


@pytest.fixture
def volume(scene: slicer.vtkMRMLScene, tmp_path: Path) -> Callable[..., object]:
    """Return a function that puts voxels (Z, Y, X) on a grid into the scene, through a file."""

    def load(voxels: np.ndarray, affine: np.ndarray, name: str = "FLAIR") -> object:
        path = tmp_path / f"{next(_NUMBERS)}.nrrd"
        write_nrrd(path, voxels, affine)
        return ops.load_volume(scene, path, name)

    return load


@pytest.fixture
def brats() -> LabelTable:
    """The label values of BraTS until 2021, with a gap."""
    return LabelTable(
        (
            Structure(1, "Necrosis", (205, 62, 78), ("SCT", "6574001", "Necrosis")),
            Structure(2, "Oedema", (244, 214, 49)),
            Structure(4, "Enhancing tumour", (64, 156, 255)),
        )
    )


@pytest.fixture
def stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StockServer]:
    """A server like MONAI Label's own, whose model finds two lesions."""
    monkeypatch.setattr(transport, "_PAUSES", (0.01, 0.02))
    with StockServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answer(server, tmp_path, AFFINE, (2, 7))
        yield server
        server.release.set()
        server.shutdown()


@pytest.fixture
def study(
    session: Session, stock: StockServer, volume: Callable[..., object], settle: Callable[..., None]
) -> Session:
    """A session with one image, connected to the server like MONAI Label's own."""
    volume(np.arange(1680, dtype=np.int16).reshape(10, 12, 14), AFFINE, "head")
    session.connect(stock.url)
    settle(session)
    assert session.errors == []
    return session


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[object]:
    """A real server of the app with small random models; `studies` is its folder."""
    pytest.importorskip("monailabel", reason="MONAI Label is not installed")
    from brainmvp.serve import running_server

    studies = tmp_path_factory.mktemp("slicer") / "studies"
    studies.mkdir()
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for this server alone: those of later tests do score
            patch.setenv("BRAINMVP_HOME", str(tiny_models))
            patch.setenv("MONAI_LABEL_TASKS_SCORING", "false")
            running = stack.enter_context(running_server(studies, device="cpu"))
        yield SimpleNamespace(url=running.url, studies=studies)


@pytest.fixture
def connected(session: Session, server: object, settle: Callable[[Session], None]) -> Session:
    """A session that is connected to the real server, of an annotator of its own."""
    session.connect(server.url)
    settle(session)
    assert session.errors == []
    session.annotator = f"annotator{next(_NUMBERS)}"
    session.state.model = "tumour"
    session.state.strategy = "sequential"
    return session


@pytest.fixture
def new_study(server: object, write_study: Callable[..., Path]) -> Iterator[Callable[[str], Path]]:
    """Return a function that gives the real server a study of some sequences, for this test alone."""
    names = []

    def make(sequences: str) -> Path:
        names.append(f"case{next(_NUMBERS):03d}")
        return write_study(names[-1], sequences, server.studies)

    yield make
    for name in names:
        shutil.rmtree(server.studies / name, ignore_errors=True)


@pytest.fixture
def desktop(scene: slicer.vtkMRMLScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The module's panel as the desktop program shows it, on the scene of the test."""
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    from desktop import Desktop

    desktop = Desktop(scene, tmp_path / "settings")
    desktop.install(monkeypatch)
    for name in ("BrainMVP", *(f"BrainMVPLib.{part}" for part in ("widget", "cells", "keys", "plot"))):
        monkeypatch.delitem(sys.modules, name, raising=False)  # they have the `qt` of the test before
    desktop.module = importlib.import_module("BrainMVP")
    desktop.widget = desktop.module.BrainMVPWidget()
    desktop.widget.setup()
    desktop.widget.enter()
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(brainmvp=desktop), raising=False)
    yield desktop
    desktop.widget.cleanup()


@pytest.fixture
def panel(desktop: object) -> object:
    """The panel."""
    return desktop.widget.panel


@pytest.fixture
def wait() -> Callable[..., None]:
    """Return a function that lets Qt's events and the panel's timer run until something is so, and is shown."""
    from PySide6 import QtWidgets

    def wait(until: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "it did not happen"
            QtWidgets.QApplication.processEvents()
            time.sleep(0.005)
        for _ in range(30):
            QtWidgets.QApplication.processEvents()
            time.sleep(0.004)

    return wait


@pytest.fixture
def click(desktop: object, wait: Callable[..., None]) -> Callable[[str], None]:
    """Return a function that clicks a button and waits until what it began is over."""
    from PySide6 import QtCore, QtTest

    def click(name: str) -> None:
        button = getattr(desktop.widget.panel.ui, name)
        assert button.enabled, f"{name} cannot be clicked"
        QtTest.QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)
        wait(lambda: not desktop.widget.panel.session.busy)

    return click


@pytest.fixture
def opened(study, stock, settle, tmp_path):
    """A session on a segmented study that the server proposed; it proposes another one next."""
    image = np.arange(1680, dtype=np.int16).reshape(10, 12, 14)
    write_nrrd(tmp_path / "image.nrrd", image, AFFINE)
    for name in ("first", "second"):
        stock.images[name] = (tmp_path / "image.nrrd").read_bytes()
    ops.remove(study.scene, study.reference()[1])
    stock.proposal = {"id": "first", "name": "first.nrrd"}
    Opening(study).next_study()
    settle(study)
    Segmenting(study).segment()
    settle(study)
    assert (study.errors, study.state.study) == ([], "first")
    stock.proposal = {"id": "second", "name": "second.nrrd"}
    return study
