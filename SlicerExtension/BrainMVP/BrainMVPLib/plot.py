"""Draws the held-out Dice of the model versions."""

from __future__ import annotations

from typing import Any

import qt

_WIDTH, _HEIGHT, _MARGIN, _TOP = 360, 170, 34, 12


def draw_versions(points: list[tuple[int, float]], served: int | None, label: Any) -> qt.QPixmap:
    """Return a picture of (version, Dice) points; the served version is a filled square, the others are circles.

    label: the widget that will show it, as sharp as its screen is.
    """
    ratio = getattr(label, "devicePixelRatioF", lambda: 1.0)()  # not every Slicer's Qt tells it to Python
    picture = qt.QPixmap(round(ratio * _WIDTH), round(ratio * _HEIGHT))
    picture.setDevicePixelRatio(ratio)
    picture.fill(qt.QColor("white"))
    painter = qt.QPainter()
    painter.begin(picture)
    try:
        _draw(painter, points, served, _WIDTH, _HEIGHT)
    finally:
        painter.end()
    return picture


def _draw(painter: qt.QPainter, points: list, served: int | None, width: int, height: int) -> None:
    left, bottom = _MARGIN, height - _MARGIN + 10
    line, grid = qt.QColor("#1F4E79"), qt.QColor("#D0D5DA")
    for tenth in range(0, 11, 2):
        y = int(bottom - (bottom - _TOP) * tenth / 10)
        painter.setPen(grid)
        painter.drawLine(left, y, width - 8, y)
        painter.setPen(qt.QColor("black"))
        painter.drawText(4, y + 4, f"{tenth / 10:.1f}")
    step = (width - left - 30) / max(1, len(points) - 1)
    places = [
        (int(left + 12 + n * step), int(bottom - (bottom - _TOP) * dice))
        for n, (_, dice) in enumerate(points)
    ]
    painter.setPen(line)
    for (x1, y1), (x2, y2) in zip(places, places[1:]):
        painter.drawLine(x1, y1, x2, y2)
    for (x, y), (version, dice) in zip(places, points):
        painter.setPen(line)
        if version == served:
            painter.fillRect(x - 5, y - 5, 10, 10, line)
        else:
            painter.drawEllipse(x - 4, y - 4, 8, 8)
        painter.setPen(qt.QColor("black"))
        painter.drawText(x - 12, y - 9 if y > _TOP + 16 else y + 20, f"{dice:.2f}")
        painter.drawText(x - 6, height - 6, f"v{version}")
