"""`brainmvp demo`: see it work on made-up patients, with nothing but this package."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainmvp.cli.console import print_table, progress_bar, say
from brainmvp.cli.options import Device
from brainmvp.errors import BrainMVPError
from brainmvp.millilitres import written_ml
from brainmvp.serve import INSTALL_MONAI_LABEL

if TYPE_CHECKING:
    from brainmvp.demo import Result


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the studies and results.")] = Path("demo"),
    device: Device = "auto",
) -> None:
    """Make a tumour and a stroke patient, start a server, segment both over REST and draw the results."""
    if importlib.util.find_spec("monailabel") is None:
        raise BrainMVPError(
            f'MONAI Label is not installed; run `pip install "brainmvp[server]"` and `{INSTALL_MONAI_LABEL}`.'
        )
    with progress_bar("Demo") as tell:
        tell("loading libraries", 0.0)
        from brainmvp.demo import run_demo

        results = run_demo(out, tell, device)
    for result in results:
        _show(result)
    _next_steps(out, results)


def _show(result: "Result") -> None:
    report = result.report
    rows = [
        (name, written_ml(volume), written_ml(report["true_volumes_ml"].get(name, 0)))
        for name, volume in report["volumes_ml"].items()
    ]
    columns = {"Structure": "left", "found, mL": "right", "true, mL": "right"}
    print_table(f"{report['study']}, by {report['model']}", columns, rows)
    missing = ", ".join(report["sequences_filled"])
    say(f"  used {', '.join(report['sequences_used'])}{missing and f'; missing: {missing}'}")
    seconds = report["seconds"]
    say(f"  server start {seconds['server_start']:.1f} s, request {seconds['request']:.1f} s")
    say(f"  picture: {_short(result.picture)}")


def _next_steps(out: Path, results: "list[Result]") -> None:
    command = _command()
    studies, first = out / "studies", results[0]
    lines = [
        "",
        "These patients are made up by a computer, and the models are for demonstration: not a medical device.",
        "",
        "Next:",
        "  look at the pictures; each result folder also has the label map (.nii.gz), the segmentation for",
        "  3D Slicer (.seg.nrrd) and the report (.json)",
        f"  {command} study {studies}",
        f"  {command} segment {studies / first.patient.id} --task {first.patient.task} --out mine.seg.nrrd",
        f"  {command} serve --studies {studies}",
    ]
    say("\n".join(lines))


def _command() -> str:
    """Return what to type for `brainmvp` here."""
    if shutil.which("brainmvp"):
        return "brainmvp"
    called = Path(sys.argv[0])
    return f"{_short(Path(sys.executable))} -m brainmvp" if called.name == "__main__.py" else _short(called)


def _short(path: Path) -> str:
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive on Windows
        return str(path)
