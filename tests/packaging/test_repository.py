"""What the repository's files say of each other is true."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from brainmvp import __version__
from brainmvp.serve import INSTALL_MONAI_LABEL

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def constraints():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [
        Requirement(line)
        for line in (*project["dependencies"], *(line for extra in extras for line in extra))
    ]


def documents():
    """Return the text of every document of the repository by its path."""
    done = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("this is no checkout")
    names = [name for name in done.stdout.decode().split("\0") if (ROOT / name).is_file()]
    return {ROOT / name: (ROOT / name).read_text("utf-8") for name in names}


def lines_of_code(text):
    """Return what a document says to type, one line each, with the comments beside it."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [*lines, *(" ".join(span.split()) for span in spans)]


def test_every_make_target_of_the_documents_exists():
    lines = [line for text in documents().values() for line in lines_of_code(text)]
    named = {found for line in lines for found in re.findall(r"\bmake ([a-z]+)\b", line)}
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert {"demo", "test", "setup", "serve", "lint", "bench"} <= named
    assert named <= targets


def test_every_command_and_option_of_the_documents_exists():
    from brainmvp.cli import app

    commands, seen = get_command(app).commands, set()
    for path, text in documents().items():
        for line in lines_of_code(text):
            for name, words in re.findall(r"\bbrainmvp ([a-z][a-z-]+)\b([^;#]*)", line):
                assert name in commands, f"{path}: {line}"
                command, words = commands[name], words.split()
                if words and (below := getattr(command, "commands", None)):
                    assert words[0] in below, f"{path}: {line}"
                    command = below[words[0]]
                known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
                assert {word for word in words if word.startswith("--")} <= known, f"{path}: {line}"
                seen.add(name)
    assert set(commands) <= seen


def test_every_link_and_script_of_the_documents_leads_to_a_file():
    for path, text in documents().items():
        links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
        for link in links:
            file, _, place = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path}: {link}"
            if place:
                titles = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
                places = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
                assert place in places, f"{path}: {link}"
        for script in re.findall(r"\b(?:python|pytest)\s+(\S+\.py)\b", text):
            assert any((folder / script).is_file() for folder in (ROOT, path.parent)), f"{path}: {script}"


def test_every_direct_dependency_is_pinned_with_a_reason():
    pinned = {requirement.name.lower() for requirement in constraints()}
    reasons = set(
        re.findall(r"^# ([a-z0-9-]+): \S", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    )
    direct = {requirement.name.lower() for requirement in declared()}
    assert direct - pinned == set()
    assert direct - reasons == set()


def test_each_package_has_one_pin_per_python():
    for version in ("3.11", "3.12"):
        names = [
            requirement.name
            for requirement in constraints()
            if requirement.marker is None or requirement.marker.evaluate({"python_version": version})
        ]
        assert len(names) == len(set(names))


def test_torchvision_is_nowhere():
    assert all(requirement.name != "torchvision" for requirement in (*constraints(), *declared()))


def test_one_release_of_monai_label_is_named_everywhere():
    releases = re.findall(r"monailabel==([\d.]+\d)", README + MAKEFILE + INSTALL_MONAI_LABEL)
    assert len(releases) >= 4
    assert len(set(releases)) == 1


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"brainmvp-{__version__}-py3-none-any.whl" in README
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_make_stops_at_an_unfit_python_with_one_sentence(tmp_path):
    unfit = tmp_path / "python"
    unfit.write_text("#!/bin/sh\nexit 1\n")
    unfit.chmod(0o755)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "setup", f"PYTHON={unfit}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Python 3.11 or 3.12 with venv is needed")
    assert not (tmp_path / ".venv").exists()


def test_make_mends_an_environment_without_pip(tmp_path):
    """What `python -m venv` leaves on Debian and Ubuntu where python3-venv is not installed yet."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for path, line in ((".venv/bin/python", "exit 1"), ("python", f"echo $* >> '{tmp_path / 'asked'}'")):
        (tmp_path / path).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / path).chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    command = ["make", "-f", str(ROOT / "Makefile"), "setup", f"PYTHON={tmp_path / 'python'}"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode
    asked_whether_it_fits, made = (tmp_path / "asked").read_text().splitlines()
    assert "ensurepip" in asked_whether_it_fits
    assert made == "-m venv .venv"


def test_make_serve_needs_a_folder(tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "serve"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "make serve STUDIES=" in done.stderr


def test_no_two_test_files_share_a_name():
    """Pytest imports them by name, and collects only the first of two."""
    names = [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if path.name not in ("conftest.py", "__init__.py")
    ]
    assert len(names) == len(set(names))
