"""Tables of the panel: rows of text, and rows with a choice."""

from __future__ import annotations

import html
from typing import Any, Callable

import qt


def widen(table: Any, column: int) -> None:
    """Give one column the room that the others do not need."""
    header = table.horizontalHeader()
    for number in range(table.columnCount):
        mode = qt.QHeaderView.Stretch if number == column else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(number, mode)


def fill(table: Any, rows: list[list[str]]) -> None:
    """Show rows of text that cannot be edited."""
    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            _set(table, number, column, text)
    fit(table)


def fill_choices(
    table: Any,
    rows: list[tuple[str, list[tuple[str, str]], str, str]],
    chosen: Callable[[str, str | None], Any],
) -> None:
    """Show, for each (name, [(id, text)], id chosen or empty, note), the name, a box to choose from, and the note."""
    table.setRowCount(len(rows))
    for number, (name, options, current, note) in enumerate(rows):
        _set(table, number, 0, name)
        box = qt.QComboBox()
        box.setToolTip(f"The volume that is the study's {name}")
        box.setAccessibleName(f"Volume for {name}")
        ids = ["", *(node_id for node_id, _ in options)]
        for text in ("none", *(text for _, text in options)):
            box.addItem(text)
        box.setCurrentIndex(ids.index(current) if current in ids else 0)

        def activated(index: int, name: str = name, ids: list[str] = ids) -> None:
            chosen(name, ids[index] or None)

        box.connect("activated(int)", activated)
        table.setCellWidget(number, 1, box)
        _set(table, number, 2, note)
    fit(table)


def fit(table: Any) -> None:
    """Make a table as high as its rows, so that the panel scrolls and the table does not."""
    table.resizeRowsToContents()
    height = 2 * table.fontMetrics().height() + 4  # the header, at any scaling
    height += sum(table.rowHeight(row) for row in range(table.rowCount))
    table.setFixedHeight(height)


def plain(text: str) -> str:
    """Return a tool tip that shows a text as it is; Qt would take what looks like HTML in it for that."""
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>' if "<" in text else text


def _set(table: Any, row: int, column: int, text: str) -> None:
    item = qt.QTableWidgetItem(text)
    item.setToolTip(plain(text))
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    table.setItem(row, column, item)
