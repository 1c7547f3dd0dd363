"""`brainmvp doctor` finds what is wrong and says what to type."""

import builtins
import json
import shutil
import socket
import sys

import pytest

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


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'torch'"), OSError("[WinError 126] fbgemm.dll")]
)
def test_a_pytorch_that_does_not_load_is_found_beside_the_rest(brainmvp, monkeypatch, error):
    def load(name, *rest, **options):
        if name == "torch" or name.startswith(("torch.", "safetensors.torch")):
            raise error
        return import_module(name, *rest, **options)

    import_module = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", load)
    monkeypatch.setattr(doctor, "_monai_label", lambda: doctor.Check("MONAI Label", "ok", ""))
    monkeypatch.delitem(sys.modules, "brainmvp.modelstore", raising=False)
    result = brainmvp("doctor", "--json")
    assert result.exit_code == 2, result.exception
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["PyTorch"]["found"] == str(error)
    assert "pip install torch==" in checks["PyTorch"]["remedy"]
    assert checks["Models"]["found"] == "not looked at"
    assert {"Python", "Memory", "Port", "Server app", "torchvision"} < checks.keys()


def test_a_home_that_cannot_be_looked_into_is_found_beside_the_rest(brainmvp, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "BRAINMVP_HOME", str(tmp_path / ("long" * 100))
    )  # no permission needed, so root fails too
    monkeypatch.setattr(doctor, "_monai_label", lambda: doctor.Check("MONAI Label", "ok", ""))
    result = brainmvp("doctor")
    assert result.exit_code == 2
    assert "problem  Models: " in result.output and "Set BRAINMVP_HOME to a folder that" in result.output
    assert "Not ready: see above." in result.output


def test_a_missing_monai_label_comes_with_the_command(brainmvp, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    result = brainmvp("doctor")
    assert result.exit_code == 2
    assert "pip install --no-deps monailabel==" in result.output
