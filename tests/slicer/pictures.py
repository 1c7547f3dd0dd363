"""Pictures of the module at work on a made-up patient: `python tests/slicer/pictures.py SlicerExtension/Screenshots`.

The panel is the module's own, drawn by Qt. The views are what Slicer's slice logic makes of the scene, with the
segmentation drawn over it here, because the part of Slicer that does so is not on any package index.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path += [
        str(Path(__file__).parents[1]),
        str(Path(__file__).parents[2] / "SlicerExtension" / "BrainMVP"),
    ]

from BrainMVPLib import views
from BrainMVPLib.drawn import export_labels
from BrainMVPLib.measure import middle
from BrainMVPLib.scene import affine, array_of
from desktop import Desktop
from PySide6 import QtCore, QtGui, QtTest, QtWidgets
from vtk.util import numpy_support

_VIEW = 380


def draw_panel(panel: Any, width: int = 430) -> QtGui.QPixmap:
    """Return the whole panel, as wide as asked or as it needs, in a scroll area as it is in Slicer."""
    QtCore.QCoreApplication.sendPostedEvents(
        None, QtCore.QEvent.Type.DeferredDelete
    )  # boxes that were replaced
    window = QtWidgets.QWidget.window(panel.top)
    area = QtWidgets.QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(window)
    area.resize(max(width, window.minimumSizeHint().width()) + 30, 700)
    area.show()
    for _ in range(4):  # a label that wraps tells its height once it knows its width
        QtWidgets.QApplication.processEvents()
    picture = window.grab()
    area.takeWidget()
    return picture


def draw_views(desktop: Desktop, panel: Any, size: int = _VIEW) -> QtGui.QPixmap:
    """Return the comparison's views side by side, two by two."""
    session = panel.session
    labels, table = None, panel.submitting.table()
    if session.state.segmentation is not None and session.state.segmentation.GetDisplayNode().GetVisibility():
        labels = export_labels(session.state.segmentation, table, session.reference()[1])
    volumes = session.chosen_volumes()
    columns = 2
    picture = QtGui.QPixmap(columns * size, -(-len(volumes) // columns) * size)
    picture.fill(QtGui.QColor("black"))
    painter = QtGui.QPainter(picture)
    painter.setFont(QtGui.QFont("DejaVu Sans", 12))
    for number, sequence in enumerate(volumes):
        logic = desktop.sliceWidget(f"BrainMVP{number + 1}").sliceLogic()
        pixels = _slice(logic, size, session, labels, table)
        image = QtGui.QImage(pixels.tobytes(), size, size, 3 * size, QtGui.QImage.Format.Format_RGB888)
        corner = QtCore.QPoint(number % columns * size, number // columns * size)
        painter.drawImage(corner, image)
        painter.setPen(QtGui.QColor("white"))
        painter.drawText(corner + QtCore.QPoint(12, 24), sequence)
        painter.setPen(QtGui.QColor("#5A6B7B"))
        painter.drawRect(QtCore.QRect(corner, QtCore.QSize(size - 1, size - 1)))
    painter.end()
    return picture


def _slice(logic: Any, size: int, session: Any, labels: np.ndarray | None, table: Any) -> np.ndarray:
    node = logic.GetSliceNode()
    node.SetDimensions(size, size, 1)
    logic.FitSliceToBackground(size, size)
    reference = session.reference()[1]
    if labels is not None and (point := middle(labels, affine(reference))):
        node.JumpSliceByOffsetting(*point)
    logic.UpdatePipeline()
    port = logic.GetImageDataConnection()
    port.GetProducer().Update()
    image = port.GetProducer().GetOutputDataObject(port.GetIndex())
    pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(size, size, -1)
    alpha = pixels[..., 3:4] / 255 if pixels.shape[2] == 4 else 1
    pixels = (pixels[..., :3] * alpha).astype(np.float32)
    if labels is not None:
        shown = _on_slice(labels, reference, node, size)
        edge = np.zeros_like(shown, bool)
        for axis in (0, 1):
            edge |= (shown != np.roll(shown, 1, axis)) | (shown != np.roll(shown, -1, axis))
        for structure in table.structures:
            inside = shown == structure.value
            pixels[inside] = 0.7 * pixels[inside] + 0.3 * np.array(structure.color)
            pixels[inside & edge] = structure.color
    return np.ascontiguousarray(pixels[::-1].clip(0, 255).astype(np.uint8))


def _on_slice(labels: np.ndarray, reference: Any, node: Any, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    points = np.stack([x.ravel(), y.ravel(), np.zeros(size * size), np.ones(size * size)])
    to_index = np.linalg.inv(affine(reference)) @ array_of(node.GetXYToRAS())
    index = np.round(to_index @ points)[:3].astype(int)
    shape = np.array(labels.shape[::-1])[:, None]
    valid = ((index >= 0) & (index < shape)).all(0)
    result = np.zeros(size * size, np.uint8)
    result[valid] = labels[index[2, valid], index[1, valid], index[0, valid]]
    return result.reshape(size, size)


def beside(left: QtGui.QPixmap, right: QtGui.QPixmap) -> QtGui.QPixmap:
    """Return two pictures side by side."""
    picture = QtGui.QPixmap(left.width() + right.width(), max(left.height(), right.height()))
    picture.fill(QtGui.QColor("#30363C"))
    painter = QtGui.QPainter(picture)
    painter.drawPixmap(0, 0, left)
    painter.drawPixmap(left.width(), 0, right)
    painter.end()
    return picture


def _wait(until: Callable[[], bool]) -> None:
    while not until():
        QtWidgets.QApplication.processEvents()
        time.sleep(0.01)
    for _ in range(40):
        QtWidgets.QApplication.processEvents()
        time.sleep(0.005)


def main(target: Path) -> None:
    """Make the pictures, with the built-in models and the demo's patient."""
    import pytest
    from scenes import make_scene

    from brainmvp.demo import PATIENTS, make_patient
    from brainmvp.serve import running_server

    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        studies = Path(folder) / "studies"
        patient = PATIENTS[0]  # with a tumour
        make_patient(patient, studies / patient.id)
        desktop = Desktop(make_scene(), Path(folder))
        desktop.install(patch)
        import BrainMVP

        widget = BrainMVP.BrainMVPWidget()
        widget.setup()
        panel = widget.panel

        def click(name: str) -> None:
            QtTest.QTest.mouseClick(getattr(panel.ui, name), QtCore.Qt.MouseButton.LeftButton)
            _wait(lambda: not panel.session.busy)

        with running_server(studies) as server:
            panel.ui.urlEdit.setText("http://127.0.0.1:8000")
            panel.session.connect(server.url)
            _wait(lambda: not panel.session.busy)
            panel.ui.annotatorEdit.setText("Reader 1")
            panel.session.annotator = "Reader 1"
            click("nextButton")
            click("compareButton")
            click("segmentButton")
            left = draw_panel(panel)
            beside(left, draw_views(desktop, panel, left.height() // 2)).save(str(target / "workspace.png"))
            click("uncertaintyButton")
            draw_views(desktop, panel).save(str(target / "uncertainty.png"))
        widget.cleanup()
    assert views.comparing(desktop.scene)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
