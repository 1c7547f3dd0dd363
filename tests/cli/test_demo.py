"""The demo leaves what it says, from a real server."""

import json

import nrrd
import numpy as np
import pytest

from brainmvp.demo import PATIENTS
from brainmvp.volume import read_volume

# Two patients at 1 mm, a server and two pictures: half a minute alone, many on a machine that is busy with a training.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def demo(tmp_path_factory, tiny_models):
    """The demo's folder and output, on small random models."""
    from typer.testing import CliRunner

    from brainmvp.cli import app

    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINMVP_HOME", str(tiny_models))
        result = CliRunner().invoke(app, ["demo", "--out", str(folder), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.mark.parametrize("patient", PATIENTS, ids=lambda patient: patient.task)
def test_every_result_lies_on_its_study(demo, patient):
    folder, _ = demo
    results = folder / "results" / patient.id
    report = json.loads((results / f"{patient.task}.json").read_text())
    reference = read_volume(
        folder / "studies" / patient.id / f"{patient.id}_{report['reference'].lower()}.nii.gz"
    )
    labels = read_volume(results / f"{patient.task}.nii.gz")
    assert labels.shape == reference.shape
    assert np.array_equal(labels.affine, reference.affine)
    segments, header = nrrd.read(str(results / f"{patient.task}.seg.nrrd"))
    assert np.array_equal(segments, labels.data)
    assert header["Segment0_Name"] in report["label_names"].values()
    assert (results / f"{patient.task}.png").stat().st_size > 50_000


def test_the_report_says_what_was_missing_and_how_long_it_took(demo):
    folder, _ = demo
    report = json.loads((folder / "results" / "patient-stroke" / "stroke.json").read_text())
    assert report["sequences_filled"] == ["FLAIR"]
    assert set(report["volumes_ml"]) == set(report["true_volumes_ml"])
    assert report["true_volumes_ml"]["Acute ischaemic infarct"] > 0
    assert {"make", "server_start", "request", "network"} <= set(report["seconds"])


def test_it_says_what_to_type_next(demo):
    folder, output = demo
    assert f"serve --studies {folder / 'studies'}" in output
    assert "not a medical device" in output
