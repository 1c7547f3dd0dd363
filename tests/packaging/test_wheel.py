"""The wheel carries everything: library, tasks, models and server app, and works away from the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, unpacked: the folder that an environment would have as its site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def files_below(folder, suffixes):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.endswith(suffixes) and "__pycache__" not in path.parts
    }


def test_holds_all_of_the_library_and_the_app(wheel):
    library = files_below(ROOT / "lib" / "brainmvp", (".py", ".json", ".safetensors", ".html"))
    app = files_below(ROOT / "MONAILabelApp", (".py", ".html"))
    pretraining = files_below(ROOT / "pretraining", (".py",))
    packed = files_below(wheel / "brainmvp", "")
    assert library - packed == set()
    assert {f"monailabel_app/{file}" for file in app} - packed == set()
    assert {f"pretraining/{file}" for file in pretraining} - packed == set()
    assert {file.split("/")[0] for file in files_below(wheel, "")} == {
        "brainmvp",
        next(wheel.glob("*.dist-info")).name,
    }


def test_holds_a_model_for_every_task_and_the_encoder(wheel):
    for name in ("tumour", "stroke", "encoder"):
        folders = [card.parent for card in (wheel / "brainmvp" / "models" / name).glob("*/card.json")]
        assert folders
        assert all((folder / "weights.safetensors").is_file() for folder in folders)


def printed(script, wheel, folder):
    """Return the lines that a script prints where only the wheel is there."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_finds_its_app_away_from_the_repository(wheel, tmp_path):
    script = "from brainmvp.serve import app_folder; import brainmvp; print(brainmvp.__file__); print(app_folder())"
    package = wheel / "brainmvp"
    assert printed(script, wheel, tmp_path) == [str(package / "__init__.py"), str(package / "monailabel_app")]


def test_finds_its_pretraining_away_from_the_repository(wheel, tmp_path):
    script = "from brainmvp.cli.parts import pretraining as p; print(p('run.loop').__file__)"
    loop = wheel / "brainmvp" / "pretraining" / "run" / "loop.py"
    assert printed(script, wheel, tmp_path) == [str(loop)]


def test_tells_its_command_and_python_versions(wheel):
    (info,) = wheel.glob("*.dist-info")
    assert "brainmvp = brainmvp.cli:main" in (info / "entry_points.txt").read_text()
    assert "Requires-Python: <3.13,>=3.11" in (info / "METADATA").read_text()
    assert (info / "licenses" / "LICENSE").is_file()
    # What the terms of the atlas ask for in every copy of a network.
    assert "Copyright (C) 1993-2004 Louis Collins" in (info / "licenses" / "NOTICE").read_text("utf-8")
