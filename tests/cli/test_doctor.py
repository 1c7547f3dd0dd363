"""`brainmvp doctor` finds what is wrong and says what to type."""

import json
import shutil
import socket

from brainmvp import doctor
from brainmvp.serve import LOOPBACK


def test_a_working_installation_is_ready(brainmvp):
    result = brainmvp("doctor", "--json")
    found = json.loads(result.stdout)
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["ready"], found
    assert result.exit_code == 0
    assert states["MONAI Label"] == states["PyTorch"] == states["Models"] == "ok"
    assert all(check["remedy"] for check in found["checks"] if check["state"] != "ok")


def test_damaged_weights_and_a_taken_port_are_found(brainmvp, tiny_models, tmp_path, monkeypatch):
    home = shutil.copytree(tiny_models, tmp_path / "home")
    for weights in (home / "models" / "tumour").glob("*/weights.safetensors"):
        weights.write_bytes(b"damaged")
    monkeypatch.setenv("BRAINMVP_HOME", str(home))
    monkeypatch.setattr(
        doctor, "_monai_label", lambda: doctor.Check("MONAI Label", "ok", "")
    )  # tested above; slow
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        result = brainmvp("doctor", "--port", port)
    assert result.exit_code == 2
    assert f"warning  Port: {port} is in use" in result.output
    assert "problem  Models: " in result.output
    assert "weights.safetensors is damaged" in result.output
    assert result.output.endswith("Not ready: see above.\n")


def test_a_missing_monai_label_comes_with_the_command(brainmvp, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    result = brainmvp("doctor")
    assert result.exit_code == 2
    assert "pip install --no-deps monailabel==" in result.output
