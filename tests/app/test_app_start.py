"""Starting: by the command that `brainmvp serve` runs, again on the same folder, and on a damaged one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from app_server import own_command, running

from brainmvp.errors import BrainMVPError
from brainmvp.serve import free_port
from brainmvp.volume import Volume, read_volume, write_volume

PAGE = "http://localhost:3000"


def test_the_own_command_serves_and_keeps_its_state(
    write_study: Callable[..., Path], tiny_models: Path, tmp_path: Path
) -> None:
    studies = tmp_path / "cohort"
    scan = read_volume(write_study("only", "FLAIR", studies) / "only_flair.nii.gz")
    label = write_volume(Volume((scan.data > 450).astype("uint8"), scan.affine), tmp_path / "label.nii.gz")

    options = ("--allow-origin", PAGE, "--conf", "models", "tumour")
    with running(studies, tiny_models, *options) as server:
        second = subprocess.run(
            own_command(studies, free_port()), capture_output=True, text=True, timeout=120
        )
        assert (second.returncode, "Another server works on" in second.stderr) == (2, True)
        assert list(server.get_json("/info/")["models"]) == ["tumour"]
        assert server.call("POST", "/activelearning/random").json()["id"] == "only"
        server.label("only", label, params='{"reader": "A"}').raise_for_status()
        assert server.call("POST", "/activelearning/random").json() == {}

        listed = server.call("GET", "/info/", headers={"Origin": PAGE})
        assert listed.headers["access-control-allow-origin"] == PAGE
        other = server.call("GET", "/info/", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    assert "terminate called" not in server.log.read_text(
        "utf-8"
    )  # by a thread that was cut off as Python ended

    with running(studies, tiny_models) as server:
        assert server.get_json("/datastore/label/info", label="only", tag="final")["reader"] == "A"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            ("--conf", "lease_minutes", "two"),
            "Error: --conf lease_minutes is 'two'; give a number of at least 0.\n",
        ),
        (("--allow-origin", "*"), "Error: --allow-origin * names no web page's origin; give its scheme,"),
    ],
)
def test_what_it_cannot_start_with_is_one_sentence(
    option: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    run = subprocess.run(
        own_command(tmp_path, free_port(), *option), capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 2
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_setting_that_there_is_not_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    from brainmvp_app.conf import Conf

    assert Conf.read({"train_after": "10", "server_mode": "true"}).train_after == 10
    refused = {
        "trainafter": (
            "10",
            "has no 'trainafter'; use models, device, brain, seed, lease_minutes, train_after,",
        ),
        "models": ("adni", "--conf models is of segmentations, and adni classifies"),
        "brain": ("hd-bet", "hd-bet is not on the PATH"),
    }
    for key, (value, sentence) in refused.items():
        with pytest.raises(BrainMVPError, match=sentence):
            Conf.read({key: value})


def test_two_servers_never_work_on_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from brainmvp_app import alone

    monkeypatch.setattr(alone, "_PATIENCE", 0.1)
    (tmp_path / ".brainmvp").mkdir()
    first = alone.hold(tmp_path)
    with pytest.raises(BrainMVPError, match="use that one, or stop it first"):
        alone.hold(tmp_path)
    first.release()
    alone.hold(tmp_path).release()
    assert not alone.hold(tmp_path / "without a folder for notes" / ("x" * 300)).is_locked


def test_damaged_notes_are_named(tmp_path: Path) -> None:
    from brainmvp_app.datastore import StudyDatastore

    notes = tmp_path / ".brainmvp" / "datastore_v2.json"
    notes.parent.mkdir()
    notes.write_text('{"objects": [')
    with pytest.raises(BrainMVPError, match=r"datastore_v2\.json is damaged; move it away"):
        StudyDatastore(str(tmp_path), ())
