"""Starting the server: it runs for the length of a block, and says at once why it cannot."""

import errno
import socket
import subprocess
import sys

import pytest
import requests

from brainmvp import doctor, serve
from brainmvp.errors import BrainMVPError


def test_runs_for_the_length_of_a_block(write_study, tiny_models, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINMVP_HOME", str(tiny_models))
    write_study("visit", "FLAIR", tmp_path / "studies")
    with serve.running_server(tmp_path / "studies", device="cpu") as server:
        info = requests.get(f"{server.url}/info/", timeout=30).json()
        assert set(info["models"]) == {"tumour", "stroke"}
        assert info["datastore"]["total"] == 1
        assert "Uvicorn running on http://127.0.0.1:" in server.log.read_text()
        page = requests.get(f"{server.url}/info/", headers={"Origin": "http://evil.example"}, timeout=30)
        assert "access-control-allow-origin" not in page.headers
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/info/", timeout=5)


def test_a_server_that_fails_shows_its_log(tmp_path, monkeypatch):
    (tmp_path / "main.py").write_text("import sys\nsys.exit('the app is broken')\n")
    monkeypatch.setattr(serve, "app_folder", lambda: tmp_path)
    with (
        pytest.raises(BrainMVPError, match=r"stopped while starting.*\n.*the app is broken"),
        serve.running_server(tmp_path),
    ):
        pass


def test_a_taken_port_is_told(brainmvp, tmp_path):
    with socket.socket() as other:
        other.bind((serve.LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        result = brainmvp("serve", "--studies", tmp_path, "--port", port)
    assert result.exit_code == 2
    assert f"Port {port} of 127.0.0.1 is in use" in result.stderr


def test_an_address_of_another_computer_is_told(brainmvp, tmp_path):
    result = brainmvp(
        "serve", "--studies", tmp_path, "--host", "203.0.113.5"
    )  # kept for documents (RFC 5737)
    assert result.exit_code == 2
    assert "203.0.113.5 is no address of this computer; use 127.0.0.1 or 0.0.0.0." in result.stderr


def test_a_port_that_only_an_administrator_may_use_is_told(brainmvp, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serve.socket.socket, "bind", refuse)
    result = brainmvp("serve", "--studies", tmp_path, "--port", 80)
    assert result.exit_code == 2
    assert (
        "The system keeps port 80 for others; choose another one with --port, such as 8000." in result.stderr
    )
    assert doctor._port(80).found == "80 is kept for others by the system"


def test_a_missing_folder_is_told_and_not_made(brainmvp, tmp_path):
    result = brainmvp("serve", "--studies", tmp_path / "absent")
    assert result.exit_code == 2
    assert "absent is not a folder" in result.stderr
    assert not (tmp_path / "absent").exists()


def test_a_password_in_an_archives_address_is_refused_and_not_shown(brainmvp):
    address = "http://me:secret@host/dicom-web"
    command = [sys.executable, str(serve.app_folder() / "main.py"), "--studies", address]
    by_app = subprocess.run(command, capture_output=True, text=True, timeout=300)
    by_command = brainmvp("serve", "--studies", address)
    for code, says in ((by_app.returncode, by_app.stderr), (by_command.exit_code, by_command.stderr)):
        assert code == 2
        assert "set MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD" in " ".join(says.split())
        assert "secret" not in says


@pytest.mark.parametrize("password", ["p/w", "p#w", "p?w", "p?w=x", "[w"])
def test_a_password_is_found_whatever_is_in_it(password):
    with pytest.raises(BrainMVPError, match="holds a user or a password") as refused:
        serve.check_address(f"http://me:{password}@host/dicom-web")
    assert password not in str(refused.value)


def test_what_is_no_address_is_said_and_filters_are_part_of_one():
    with pytest.raises(BrainMVPError, match=r"\[abc/x is no address of an archive; give one such as"):
        serve.check_can_serve("http://[abc/x", serve.LOOPBACK, 0)
    serve.check_address("http://host/dicom-web?StudyDescription=*head*&PatientComments=a%40b")


def test_settings_go_through_to_the_app(brainmvp, tmp_path):
    serving = ("serve", "--studies", tmp_path, "--conf", "lease_minutes", "90")
    command = [sys.executable, "-m", "brainmvp", *map(str, serving), "--port", str(serve.free_port())]
    done = subprocess.run(
        [*command, "--conf", "trainafter", "10"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    assert "Error: --conf has no 'trainafter'; use models, device, brain, seed," in done.stderr
    result = brainmvp(*serving, "--conf", "train_after")
    assert result.exit_code == 2 and "--conf takes a key and a value" in " ".join(result.stderr.split())


def test_a_path_with_a_space_needs_quotes(brainmvp):
    for more in ((), ("--conf", "train_after", "10")):
        result = brainmvp("serve", "--studies", "My", "Studies", *more)
        says = " ".join(result.stderr.split())
        assert result.exit_code == 2
        assert "more words than the options take, among Studies" in says
        assert "put quotes around a path with spaces" in says
