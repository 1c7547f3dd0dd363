"""The command line in this process, on a model store of small random models."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result


@pytest.fixture
def brainmvp(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs `brainmvp ARGUMENTS…` and gives its output and exit code."""
    from brainmvp.cli import app

    monkeypatch.setenv("BRAINMVP_HOME", str(tiny_models))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brainmvp: Callable[..., Result]) -> Path:
    """Let the commands keep models and tasks in an empty folder of this test; return it."""
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
