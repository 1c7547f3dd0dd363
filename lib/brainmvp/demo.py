"""The demo: two synthetic patients, segmented over REST by a real server, as any client would do it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests_toolbelt import MultipartDecoder

from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically, write_json
from brainmvp.phantom.write import make_study
from brainmvp.picture import draw_segmentation
from brainmvp.segnrrd import write_seg_nrrd
from brainmvp.sequences import Sequence
from brainmvp.serve import Server, running_server
from brainmvp.study import Study
from brainmvp.tasks import Task, get_task
from brainmvp.volume import read_volume

_DIFFICULTY = 0.3  # clear pictures: the demo shows that the whole way works, not how far the model goes
_TIMEOUT = 600.0

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Patient:
    """A patient to make up; own_grids: as from a scanner, each sequence on a grid of its own."""

    id: str
    task: str
    seed: int
    sequences: tuple[Sequence, ...]
    own_grids: bool


# Seeds that no training or validation comes to. The stroke patient has no FLAIR, so that a missing sequence is seen to
# be filled, and oblique slices.
PATIENTS = (
    Patient(
        "patient-tumour",
        "tumour",
        2_100_000_046,
        (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR),
        False,
    ),
    Patient("patient-stroke", "stroke", 2_100_000_003, (Sequence.DWI, Sequence.ADC), True),
)


@dataclass(frozen=True)
class Result:
    """What the demo leaves of a patient: the report and the files, all written."""

    patient: Patient
    report: dict[str, Any]
    labels: Path
    segmentation: Path
    picture: Path


def run_demo(folder: Path, tell: Progress, device: str = "auto") -> list[Result]:
    """Write `folder/studies` and, by study, `folder/results`: label map, `.seg.nrrd`, report and picture.

    `tell(step, fraction)` is called as the work goes on. Raises `BrainMVPError` if the server does not come up or
    refuses a request; the same command again overwrites what the last one left.
    """
    folder = folder.resolve()
    studies, seconds, truth = folder / "studies", {}, {}
    for number, patient in enumerate(PATIENTS):
        tell(f"making {patient.id}", 0.3 * number / len(PATIENTS))
        begin = time.perf_counter()
        truth[patient.id] = make_patient(patient, studies / patient.id)
        seconds[patient.id] = {"make": time.perf_counter() - begin}

    tell("starting the server", 0.3)
    begin = time.perf_counter()
    results = []
    with running_server(studies, device=device) as server:
        start = time.perf_counter() - begin
        for number, patient in enumerate(PATIENTS):
            tell(f"segmenting {patient.id}", 0.5 + 0.5 * number / len(PATIENTS))
            begin = time.perf_counter()
            labels, facts = _infer(server, patient)
            times = {"server_start": start, "request": time.perf_counter() - begin, **seconds[patient.id]}
            report = _report(facts, times, truth[patient.id])
            results.append(_write(patient, studies, folder / "results" / patient.id, labels, report))
    tell("done", 1.0)
    return results


def make_patient(patient: Patient, folder: Path) -> dict[str, float]:
    """Write a patient's study and return the true volume of each structure, mL."""
    make_study(
        folder, patient.seed, patient.task, sequences=patient.sequences, difficulty=_DIFFICULTY,
        disease=patient.task, own_grids=patient.own_grids,
    )  # fmt: skip
    label = read_volume(Study.from_folder(folder).label)
    return {
        structure.name: round(int((label.data == structure.value).sum()) * label.voxel_ml, 3)
        for structure in get_task(patient.task).labels
    }


def _infer(server: Server, patient: Patient) -> tuple[bytes, dict[str, Any]]:
    """Ask the server for a study's segmentation; returns the label file and the facts about it."""
    query = {"image": patient.id, "output": "all"}
    with requests.Session() as session:
        session.trust_env = False  # a proxy is for other computers
        answer = session.post(f"{server.url}/infer/{patient.task}", params=query, timeout=_TIMEOUT)
    if answer.status_code != 200:
        raise BrainMVPError(
            f"The server refused {patient.id} ({answer.status_code}): {answer.text}\n"
            f"Its log ends with:\n{server.log_tail()}"
        )
    parts = {
        _name(part.headers[b"Content-Disposition"]): part
        for part in MultipartDecoder.from_response(answer).parts
    }
    return parts["image"].content, json.loads(parts["params"].text)


def _name(disposition: bytes) -> str:
    """Return the field's name in `form-data; name="image"; filename="…"`."""
    return disposition.decode().split('name="', 1)[1].split('"', 1)[0]


def _report(facts: dict[str, Any], times: dict[str, float], truth: dict[str, float]) -> dict[str, Any]:
    """Return the server's facts as `brainmvp segment --report` would, with the truth and all times."""
    names = {str(value): name for name, value in facts["label_names"].items()}
    seconds = {step: round(value, 3) for step, value in (times | facts["latencies"]).items()}
    kept = {key: value for key, value in facts.items() if key not in ("latencies", "centroids")}
    return kept | {"label_names": names, "true_volumes_ml": truth, "seconds": seconds}


def _write(patient: Patient, studies: Path, folder: Path, labels: bytes, report: dict[str, Any]) -> Result:
    task: Task = get_task(patient.task)
    result = Result(
        patient,
        report,
        folder / f"{task.name}.nii.gz",
        folder / f"{task.name}.seg.nrrd",
        folder / f"{task.name}.png",
    )
    atomically(result.labels, lambda temporary: temporary.write_bytes(labels))
    write_json(folder / f"{task.name}.json", report)
    volume = read_volume(result.labels)
    names = {int(value): name for value, name in report["label_names"].items()}
    write_seg_nrrd(volume, task, result.segmentation, names)
    draw_segmentation(Study.from_folder(studies / patient.id), volume, task, result.picture, names)
    return result
