"""Draws the extension's icon from its SVG: `python draw_icon.py`. Needs PySide6."""

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtSvg

_ICONS = Path(__file__).parent / "BrainMVP" / "Resources" / "Icons"
_SIZE = 128  # what the Extensions Index asks for


def draw(source: Path, target: Path) -> None:
    """Write an SVG picture as PNG with a transparent background."""
    image = QtGui.QImage(_SIZE, _SIZE, QtGui.QImage.Format.Format_ARGB32)
    image.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(image)
    QtSvg.QSvgRenderer(str(source)).render(painter)
    painter.end()
    if not image.save(str(target)):
        raise OSError(f"{target} cannot be written")


if __name__ == "__main__":
    application = QtGui.QGuiApplication([])
    draw(_ICONS / "BrainMVP.svg", _ICONS / "BrainMVP.png")
