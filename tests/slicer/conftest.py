"""The real MRML scene of 3D Slicer, a session of the module on it, and a real server for it to work with."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before any window of Qt
sys.path.insert(0, str(Path(__file__).parents[2] / "SlicerExtension" / "BrainMVP"))

import slicer
from BrainMVPLib import scene as ops
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.session import Session
from BrainMVPLib.tables import LabelTable, Structure

_NUMBERS = count(1)


def make_scene() -> slicer.vtkMRMLScene:
    """Return a scene as Slicer has it at the start: a layout, slice views, a crosshair, default colours."""
    scene = slicer.vtkMRMLScene()
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    layout = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layouts = slicer.vtkMRMLLayoutLogic()
    layouts.SetMRMLScene(scene)
    scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()  # brings the rules that make segments' voxels
    segmentations.SetMRMLScene(scene)
    scene.logics = colors, layouts, segmentations  # as long as the scene
    return scene


@pytest.fixture
def scene() -> slicer.vtkMRMLScene:
    """The scene of a test."""
    return make_scene()


@pytest.fixture
def session(scene: slicer.vtkMRMLScene, tmp_path: Path) -> Iterator[Session]:
    """A session; what it says and where it fails is noted in `heard` and `errors`."""
    parameters = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "BrainMVP")
    session = Session(scene, parameters, tmp_path / "slicer")
    session.heard, session.errors, session.steps = [], [], []
    session.said.connect(session.heard.append)
    session.failed.connect(lambda error: session.errors.append(error.sentence))
    session.progress.connect(lambda step, fraction: session.steps.append(step))
    yield session
    session.close()


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
        write_nrrd(str(path), voxels, affine)
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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[object]:
    """A real server of the app with small random models; `studies` is its folder."""
    pytest.importorskip("monailabel", reason="MONAI Label is not installed")
    from types import SimpleNamespace

    from brainmvp.serve import running_server

    studies = tmp_path_factory.mktemp("slicer") / "studies"
    studies.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINMVP_HOME", str(tiny_models))
        patch.setenv("MONAI_LABEL_TASKS_SCORING", "false")
        with running_server(studies, device="cpu") as running:
            yield SimpleNamespace(url=running.url, studies=studies, log=running.log)
