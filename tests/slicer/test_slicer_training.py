"""The model section by clicks, against a real server that really trains: start, stop, go on, compare, go back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

pytest.importorskip("PySide6", reason="PySide6 is not installed")
pytest.importorskip("monailabel", reason="MONAI Label is not installed")

from labelled import make_cases
from pictures import draw_panel

from brainmvp.modelstore import ModelStore
from brainmvp.serve import Server, running_server
from brainmvp.tasks import get_task


@pytest.fixture
def labelled_server(tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with a small random model, on seven studies that all have a final label."""
    store, cohort = ModelStore(tmp_path / "home"), tmp_path / "cohort"
    model = ModelStore(tiny_models).resolve("tumour")
    store.serve("tumour", store.add(model.card, model.load_weights()).card.version)
    (cohort / "labels" / "final").mkdir(parents=True)
    for case in make_cases(get_task("tumour"), 7, cohort):
        case.label.rename(cohort / "labels" / "final" / f"{case.id}.nii.gz")
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MONAI_LABEL_TASKS_SCORING", "false")
    with running_server(cohort, device="cpu") as server:
        yield server


def served(server: Server) -> int:
    versions = requests.get(f"{server.url}/models", timeout=60).json()
    return next(v["version"] for v in versions if v["name"] == "tumour" and v["served"])


def test_a_training_from_the_panel(
    labelled_server: Server, panel: object, click: Callable[[str], None], wait: Callable[..., None],
    tmp_path: Path,
) -> None:  # fmt: skip
    ui, training = panel.ui, panel.training
    ui.urlEdit.setText(labelled_server.url)
    click("connectButton")
    first = served(labelled_server)
    ui.modelSection.setChecked(True)
    wait(lambda: ui.versionsTable.rowCount == len(training.versions()) > 0)
    before = len(training.versions())

    click("trainButton")
    assert ui.messageText.text == "The training of tumour has begun; you can go on working."
    wait(lambda: "Epoch" in ui.trainingText.text)
    assert not ui.trainingBar.isHidden()
    assert (ui.trainingBar.maximum, ui.trainingBar.value > 0) == (8, True)
    click("stopTrainButton")
    wait(lambda: "stopped" in ui.trainingText.text)
    assert ui.trainingBar.isHidden()
    assert not ui.stopTrainButton.enabled
    assert ui.versionsTable.rowCount == before

    click("trainButton")  # goes on where it stopped, and ends
    wait(lambda: ui.versionsTable.rowCount == before + 1 and not training.running, 300)
    points = training.held_out()
    assert [version for version, _ in points] == [first, training.versions()[-1]["version"]]
    assert not ui.plotLabel.isHidden()
    assert ui.versionsTable.item(before, 1).text() == f"{points[-1][1]:.3f}"
    assert [ui.versionsTable.item(row, 3).text() for row in range(before + 1)].count("in use") == 1

    # Whichever the gate chose, the other one can be put in its place, and back.
    for _ in range(2):
        now = served(labelled_server)
        row = next(n for n, entry in enumerate(training.versions()) if entry["version"] != now)
        ui.versionsTable.selectRow(row)
        click("restoreButton")
        other = training.versions()[row]["version"]
        assert ui.messageText.text == f"tumour@{other} is used from now on."
        assert served(labelled_server) == other != now
        assert ui.versionText.text.startswith(f"In use: version {other}")
    assert draw_panel(panel).save(str(tmp_path / "training.png"))
