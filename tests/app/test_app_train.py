"""The loop from the next study to a better model, purely through MONAI Label's own REST calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from app_server import Server, running, training
from labelled import make_cases

from brainmvp.card import mark_of
from brainmvp.modelstore import ModelStore
from brainmvp.tasks import get_task

TRAINING = {"epochs": 2, "steps": 3}


@pytest.fixture
def cohort(tmp_path: Path) -> dict[str, Path]:
    """Eight labelled studies; the server's folder gets the images, the test keeps the labels: {study: label}."""
    cases = make_cases(get_task("tumour"), 8, tmp_path / "cohort")
    kept = tmp_path / "expert"
    kept.mkdir()
    return {case.id: case.label.rename(kept / f"{case.id}.nii.gz") for case in cases}


@pytest.fixture
def loop(cohort: dict[str, Path], home: Path, tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "cohort", home) as server:
        yield server


def test_next_infer_label_train_next(loop: Server, cohort: dict[str, Path], home: Path) -> None:
    first_version = ModelStore(home).served("tumour")
    for number in range(6):
        study = loop.call("POST", "/activelearning/hybrid", json={"client_id": "slicer"}).json()["id"]
        if number == 0:
            query = {"image": study, "output": "json"}
            assert (
                loop.call("POST", "/infer/tumour", params=query).json()["model"] == f"tumour@{first_version}"
            )
            missing = loop.refused(422, "POST", "/train/tumour", json={})
            assert "needs final labels of 6 more patients" in missing
        loop.label(study, cohort[study]).raise_for_status()
    assert loop.call("POST", "/train/tumour", json=TRAINING).json()["status"] in ("SUBMITTED", "RUNNING")
    assert "runs already" in loop.refused(429, "POST", "/train/tumour", json=TRAINING)

    progress = training(loop)
    assert progress["state"] == "done", progress
    assert (progress["model"], progress["epoch"], progress["epochs"]) == ("tumour", 2, 2)
    assert progress["loss"] > 0
    versions = {entry["version"]: entry for entry in loop.get_json("/models") if entry["name"] == "tumour"}
    new = versions[first_version + 1]
    assert new["parent"] == f"tumour@{first_version}"
    assert new["held_out"]["cases"] == versions[first_version]["held_out"]["cases"] == 3
    held_out = loop.get_json("/progress")["held_out"]["tumour"]["patients"]
    learned = new_card(home, first_version + 1).training
    taught = {*learned["train"], *learned["validation"]}
    assert taught < {*map(mark_of, cohort)} and not taught & {*map(mark_of, held_out)}

    # The gate and the answer agree, and the loop goes on with what is served.
    event = loop.get_json("/progress")["versions"][-1]
    compared = loop.get_json("/models/tumour/compare", a=str(first_version), b=str(first_version + 1))[
        "held_out"
    ]
    assert event["served"] == new["served"] == compared["passes"]
    study = loop.call("POST", "/activelearning/hybrid", json={"client_id": "slicer"}).json()["id"]
    served = first_version + 1 if new["served"] else first_version
    answer = loop.call("POST", "/infer/tumour", params={"image": study, "output": "json"}).json()
    assert answer["model"] == f"tumour@{served}"


def new_card(home: Path, version: int):
    return ModelStore(home).get("tumour", version).card
