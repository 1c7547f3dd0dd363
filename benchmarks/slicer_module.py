"""From click to visible result in the Slicer module, by step: `python benchmarks/slicer_module.py`.

Four 240 x 240 x 155 sequences in the scene, a real server on loopback with a small random network. A first run sends
the study, a second one finds it at the server. Meanwhile a clock ticks on the main thread every 5 ms, as Slicer's
event loop would: the longest time between two ticks is how long the program would have been frozen.
"""

import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "SlicerExtension" / "BrainMVP"))

import slicer
from BrainMVPLib import scene as ops
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.session import Session
from BrainMVPLib.submitting import Submitting

from brainmvp.card import Card
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.serve import running_server
from brainmvp.tasks import get_task

SHAPE = (155, 240, 240)
SEQUENCES = ("T1", "T1CE", "T2", "FLAIR")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BRAINMVP_HOME"] = str(folder)
        os.environ["MONAI_LABEL_TASKS_SCORING"] = "false"
        _model(folder)
        (folder / "studies").mkdir()
        scene = slicer.vtkMRMLScene()
        logic = slicer.vtkSlicerSegmentationsModuleLogic()
        logic.SetMRMLScene(scene)
        parameters = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "BrainMVP")
        session = Session(scene, parameters, folder / "slicer")
        session.failed.connect(lambda error: sys.exit(error.sentence + error.details))
        reading = _load(scene, folder)
        with running_server(folder / "studies", device="cpu") as server:
            session.connect(server.url)
            _tick(session)
            segmenting, submitting = Segmenting(session), Submitting(session)
            print(f"{'':28}{'seconds':>9}")
            print(f"{'reading 4 volumes (Slicer)':28}{reading:9.2f}")
            for title in ("first run", "second run"):
                begin = time.perf_counter()
                segmenting.segment()
                clicked = time.perf_counter() - begin
                frozen, by = _tick(session)
                for step, seconds in segmenting.seconds.items():
                    print(f"{f'{title}: {step}':28}{seconds:9.2f}")
                print(f"{f'{title}: frozen by the click':28}{clicked:9.3f}")
                print(f"{f'{title}: longest freeze':28}{frozen:9.3f}  {by}")
            begin = time.perf_counter()
            submitting.submit("final")
            clicked = time.perf_counter() - begin
            frozen, by = _tick(session)
            print(f"{'submit':28}{time.perf_counter() - begin:9.2f}")
            print(f"{'submit: frozen by the click':28}{clicked:9.3f}")
            print(f"{'submit: longest freeze':28}{frozen:9.3f}  {by}")


def _load(scene: slicer.vtkMRMLScene, folder: Path) -> float:
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    inside = ((z - 77) / 65) ** 2 + ((y - 120) / 90) ** 2 + ((x - 120) / 70) ** 2 < 1
    seconds = 0.0
    for sequence in SEQUENCES:
        voxels = (
            np.where(inside, 400 + 60 * rng.standard_normal(SHAPE, np.float32), 0).clip(0).astype(np.int16)
        )
        path = write_nrrd(str(folder / f"p_{sequence}.nrrd"), voxels, np.diag([-1.0, -1.0, 1.0, 1.0]))
        begin = time.perf_counter()
        ops.load_volume(scene, Path(path), f"p_{sequence}")
        seconds += time.perf_counter() - begin
    return seconds


def _tick(session: Session) -> tuple[float, str]:
    """Let the work arrive; return the longest time between two ticks, and what it was spent on."""
    longest, by, steps = 0.0, "", []
    session.progress.connect(lambda step, fraction: steps.append(step))
    last = time.perf_counter()
    while session.busy:
        time.sleep(0.005)
        woke = time.perf_counter()
        session.background.drain()
        done = time.perf_counter()
        for seconds, what in ((woke - last, "waiting for Python"), (done - woke, "receiving")):
            if seconds > longest:
                longest, by = seconds, f"{what}, at “{steps[-1] if steps else ''}”"
        last = done
    return longest, by


def _model(home: Path) -> None:
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
