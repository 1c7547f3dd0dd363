"""The panel on a study whose images the server found in DICOM folders: what was taken, what was not, and why."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed")

import dicom_files as habit
from dicom_files import scan, write_series
from pictures import draw_panel
from pydicom.uid import generate_uid


def test_the_table_says_which_series_is_which_sequence_and_why_others_are_not(
    panel: object, click: Callable[[str], None], server: object, tmp_path: Path
) -> None:
    uid, folder = generate_uid(), server.studies / "000-dicom"
    write_series(folder / "1", scan((44, 52, 40), (1.1, 1, 1.2)), uid, 1, **habit.T1CE)
    write_series(folder / "2", scan((50, 56, 14), (0.9, 0.95, 3.5)), uid, 2, **habit.FLAIR)
    write_series(folder / "3", scan((25, 28, 10), (1.8, 1.9, 4.9)), uid, 3, **habit.FLAIR)
    localizer = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "AAHead_Scout"}
    write_series(folder / "4", scan((20, 20, 3), (4, 4, 20)), uid, 4, **localizer)
    ui = panel.ui
    ui.urlEdit.setText(server.url)
    click("connectButton")
    panel.session.state.strategy, panel.session.state.model = "sequential", "tumour"
    click("nextButton")
    assert panel.session.state.study == "000-dicom", ui.messageText.text
    state = {
        ui.sequenceTable.item(row, 0).text(): ui.sequenceTable.item(row, 2).text()
        for row in range(ui.sequenceTable.rowCount)
    }
    assert state == {
        "T1": "Missing",
        "T1CE": "Found: series 1",
        "T2": "Missing",
        "FLAIR": "Found: series 2",
    }
    assert ui.seriesTable.isHidden()
    click("seriesButton")
    assert not ui.seriesTable.isHidden()
    rows = [[ui.seriesTable.item(row, column).text() for column in range(4)] for row in range(4)]
    assert rows == [
        ["1 AX T1 BRAVO +C", "T1CE", "used", "TR 8.2, TE 3.2, TI 450 ms; contrast agent"],
        ["2 tra dark-fluid 5mm", "FLAIR", "used", "TR 9000, TE 93, TI 2500 ms"],
        ["3 tra dark-fluid 5mm", "FLAIR", "alternative", "series 2 has thinner slices"],
        ["4 AAHead_Scout", "localiser", "left out", "localiser"],
    ]
    assert draw_panel(panel).save(str(tmp_path / "series.png"))
    shutil.rmtree(folder)
