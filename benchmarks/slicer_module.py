"""How long the Slicer module's panel is frozen, by step: `python benchmarks/slicer_module.py`.

Four 240 x 240 x 155 sequences, a real server on loopback, the module's own panel driven by clicks, Slicer's real
scene. The network is random and small, so its label map is noise all over the head: the most that a result can be. A
loop on the main thread looks at the clock every 2 ms, as Slicer's event loop would; the longest time between two looks
is how long the program would have been frozen. Behind it, in brackets, the processor time that the main thread itself
took in the worst look: on a busy computer the rest is waiting for other programs. Where it may (as root on Linux), the
module's process goes before those. Opening a study is for the most part Slicer's own reading of volumes.
"""

import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "SlicerExtension" / "BrainMVP"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slicer"))

from BrainMVPLib.nrrd import write_nrrd
from desktop import Desktop
from PySide6 import QtCore, QtTest
from scenes import make_scene

from brainmvp.card import Card
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.serve import running_server
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

_SHAPE = (155, 240, 240)
_SEQUENCES = ("T1", "T1CE", "T2", "FLAIR")
_LOOK_S = 0.002
_CLICKS = (
    "connectButton", "folderButton", "compareButton", "segmentButton", "segmentButton", "uncertaintyButton",
    "draftButton", "submitButton",
)  # fmt: skip


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("BRAINMVP_HOME", str(folder))
        patch.setenv("MONAI_LABEL_TASKS_SCORING", "false")
        _make_model(folder)
        _make_studies(folder)
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        desktop = Desktop(make_scene(), folder)
        desktop.folder = str(folder / "patient")
        desktop.install(patch)
        import BrainMVP

        desktop.widget = BrainMVP.BrainMVPWidget()
        desktop.widget.setup()
        panel = desktop.widget.panel
        panel.top.show()
        with running_server(folder / "studies", device="cpu") as server:
            with suppress(AttributeError, PermissionError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
            panel.ui.urlEdit.setText(server.url)
            print(f"{'':16}{'all, s':>8}  longest freeze by step, ms")
            for number, button in enumerate(_CLICKS):
                spent = _measure(desktop, panel, button)
                if "⚠" in panel.ui.messageText.text:
                    sys.exit(panel.ui.messageText.text)
                if button == "segmentButton":
                    print(" " * 25, ", ".join(f"{step} {seconds:.2f} s" for step, seconds in spent.items()))
                if number == 0:
                    panel.ui.modelSection.setChecked(True)
        desktop.widget.cleanup()


def _measure(desktop: Desktop, panel: object, button: str) -> dict[str, float]:
    """Click a button, wait until what it began is over and shown, and print how long that froze the panel.

    Returns the seconds that each step took.
    """
    spent: dict[str, float] = defaultdict(float)
    longest: dict[str, float] = defaultdict(float)
    busiest: dict[str, float] = defaultdict(float)

    def look(step: str, action: Callable[[], object]) -> None:
        start, worked = time.perf_counter(), time.thread_time()
        action()
        seconds = time.perf_counter() - start
        spent[step] += seconds
        longest[step] = max(longest[step], seconds)
        busiest[step] = max(busiest[step], time.thread_time() - worked)

    click = QtTest.QTest.mouseClick
    look("the click", lambda: click(getattr(panel.ui, button), QtCore.Qt.MouseButton.LeftButton))
    calm = 0
    while calm < 150:  # some ticks of the panel's timer after the work is over
        step = panel.ui.progressText.text.split(",")[0] if panel.session.busy else "showing it"
        look(step, lambda: (time.sleep(_LOOK_S), desktop.application.processEvents()))
        calm = 0 if panel.session.busy else calm + 1
    spent["showing it"] -= calm * _LOOK_S
    seconds = sum(spent.values())
    steps = (f"{step} {1000 * wall:.0f} ({1000 * busiest[step]:.0f})" for step, wall in longest.items())
    print(f"{button.removesuffix('Button'):16}{seconds:8.2f}  {', '.join(steps)}")
    return spent


def _make_studies(folder: Path) -> None:
    """Write one study to open from a folder, and one that the server proposes."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[: _SHAPE[0], : _SHAPE[1], : _SHAPE[2]]
    inside = ((z - 77) / 65) ** 2 + ((y - 120) / 90) ** 2 + ((x - 120) / 70) ** 2 < 1
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    (folder / "patient").mkdir()
    for sequence in _SEQUENCES:
        noise = 400 + 60 * rng.standard_normal(_SHAPE, np.float32)
        voxels = np.where(inside, noise, 0).clip(0).astype(np.int16)
        write_nrrd(folder / "patient" / f"p_{sequence}.nrrd", voxels, affine)
        proposed = folder / "studies" / "proposed" / f"p_{sequence}.nii.gz"
        write_volume(Volume(voxels.transpose(2, 1, 0), affine), proposed)


def _make_model(home: Path) -> None:
    task = get_task("tumour")
    config = NetworkConfig.preset("unet-compact", len(task.sequences), len(task.regions))
    card = Card(
        name="tumour", version=1, task="tumour", title="Random", sequences=task.sequences,
        regions=tuple(region.name for region in task.regions), network=config, spacing=4.0, window=(64, 64, 64),
        created=date(2026, 1, 1),
    )  # fmt: skip
    store = ModelStore(home)
    card = card.model_copy(update={"version": store.next_version("tumour")})
    store.add(card, build_network(config).state_dict())
    store.serve("tumour", card.version)


if __name__ == "__main__":
    main()
