"""The extension as Slicer's build and the Extensions Index will see it."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PySide6 import QtGui

sys.path.insert(0, str(Path(__file__).parents[2] / "SlicerExtension"))

import copy_shared

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "SlicerExtension"
MODULE = EXTENSION / "BrainMVP"
CMAKE = (ROOT / "CMakeLists.txt").read_text("utf-8")
CODE = sorted([*MODULE.glob("*.py"), *MODULE.glob("BrainMVPLib/*.py")])
SHARED = [path for pattern in copy_shared.FILES for path in (ROOT / "lib" / "brainmvp").glob(pattern)]
# What Slicer 5.8 to 5.12 bundle, and what they are made of.
BUNDLED = {
    "numpy",
    "requests",
    "vtk",
    "SimpleITK",
    "pydicom",
    "slicer",
    "qt",
    "ctk",
    "BrainMVPLib",
    "BrainMVP",
}


def metadata(name):
    found = re.search(rf'^set\(EXTENSION_{name} "([^"\n]*)"\)$', CMAKE, re.MULTILINE)
    assert found, f"EXTENSION_{name} is not one double-quoted string"
    return found.group(1)


def test_the_entry_passes_the_checks_of_the_extensions_index():
    name = re.search(r"^project\((\w+)\)$", CMAKE, re.MULTILINE).group(1)
    entry = json.loads((EXTENSION / f"{name}.json").read_text("utf-8"))
    assert set(entry) >= {"$schema", "category", "scm_url"}
    assert re.fullmatch(r"https://raw\.githubusercontent\.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-"
                        r"entry-schema-v1\.0\.1\.json#", entry["$schema"])  # fmt: skip
    assert not name.startswith("Slicer")
    assert entry["scm_url"].rsplit("/", 1)[1].startswith("Slicer")
    assert entry["tier"] in (1, 3, 5)
    assert isinstance(entry["build_dependencies"], list)
    assert entry["category"] == metadata("CATEGORY") == "Segmentation"
    assert all(metadata(name) for name in ("CONTRIBUTORS", "DESCRIPTION", "DEPENDS"))
    assert metadata("HOMEPAGE") == entry["scm_url"]
    assert (ROOT / "LICENSE").is_file()


def test_the_addresses_of_pictures_lead_to_files_of_this_repository():
    urls = [metadata("ICONURL"), *metadata("SCREENSHOTURLS").split()]
    base = f"{metadata('HOMEPAGE').replace('github.com', 'raw.githubusercontent.com')}/main/"
    for url in urls:
        assert url.startswith(base)
        picture = QtGui.QImage(str(ROOT / url.removeprefix(base)))
        assert not picture.isNull(), url
    assert picture.width() > 600
    icon = QtGui.QImage(str(ROOT / urls[0].removeprefix(base)))
    assert (icon.width(), icon.height()) == (128, 128)
    assert icon.pixelColor(0, 127).alpha() == 0


def test_the_checkout_is_small_enough_for_the_index():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("this is no checkout")
    names = done.stdout.decode().split("\0")
    assert sum((ROOT / name).stat().st_size for name in names if (ROOT / name).is_file()) < 100e6


@pytest.mark.parametrize("path", [*CODE, *SHARED], ids=lambda path: path.name)
def test_the_code_is_python_3_9_and_imports_what_slicer_bundles(path):
    if path.suffix != ".py":
        return
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
    future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    assert future or path in SHARED or path.name == "__init__.py", path
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            assert not isinstance(node.args[1], ast.BinOp), f"line {node.lineno}: Python 3.9 knows no X | Y"
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            allowed = top in BUNDLED or top in sys.stdlib_module_names
            assert allowed or (top == "brainmvp" and (path in SHARED or path.name == "shared.py")), name


@pytest.mark.parametrize("version", ["3.9", "3.12"])
def test_it_compiles_where_that_python_is_there(version, tmp_path):
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(home.glob(f"{version}.*/bin/python")) if home.is_dir() else []
    python = str(found[-1]) if found else shutil.which(f"python{version}")
    check = [
        python,
        "-c",
        f"import sys; sys.exit(sys.version_info[:2] != {tuple(map(int, version.split('.')))})",
    ]
    if python is None or subprocess.run(check, capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} on this computer")
    files = [str(path) for path in (*CODE, *SHARED) if path.suffix == ".py"]
    program = "import sys; [compile(open(f, encoding='utf-8').read(), f, 'exec') for f in sys.argv[1:]]"
    done = subprocess.run([python, "-c", program, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # The parts that need no Slicer run there too: the sequences, and the naming of DICOM series.
    program = (
        "from brainmvp.sequences import sequence_of; from brainmvp.dicom.recognise import recognise; "
        "assert recognise({'Modality': 'MR', 'RepetitionTime': 9000, 'EchoTime': 90, 'InversionTime': 2500}).what "
        "== str(sequence_of('p_flair')) == 'FLAIR'"
    )
    copy_shared.copy_shared(tmp_path)
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_shared_is_copied_exactly_and_the_build_copies_the_same(tmp_path):
    copies = copy_shared.copy_shared(tmp_path)
    library = ROOT / "lib" / "brainmvp"
    assert {path.name for path in copies} >= {"sequences.py", "recognise.py", "tumour.json", "stroke.json"}
    for copy in copies:
        assert copy.read_bytes() == (library / copy.relative_to(tmp_path / "brainmvp")).read_bytes()
    cmake = (MODULE / "CMakeLists.txt").read_text("utf-8")
    for pattern in copy_shared.FILES:
        assert ("${LIBRARY}/tasks/*.json" if "*" in pattern else f"\n  {pattern}\n") in cmake


def test_what_is_shared_is_linted_for_the_python_of_slicer():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    code = {f"lib/brainmvp/{file}" for file in copy_shared.FILES if file.endswith(".py")}
    held = {path for path, version in settings["per-file-target-version"].items() if version == "py39"}
    assert code - held == {"lib/brainmvp/__init__.py", "lib/brainmvp/dicom/__init__.py"}  # a docstring


def test_the_build_names_every_file_of_the_module():
    cmake = (MODULE / "CMakeLists.txt").read_text("utf-8")
    assert "BrainMVPLib/*.py" in cmake
    for resource in re.findall(
        r"^    (Resources/\S+)$", cmake.replace("${MODULE_NAME}", "BrainMVP"), re.MULTILINE
    ):
        assert (MODULE / resource).is_file(), resource


def test_the_widget_only_binds():
    assert len((MODULE / "BrainMVPLib" / "widget.py").read_text("utf-8").splitlines()) < 400
    for path in MODULE.glob("BrainMVPLib/*.py"):
        imports_qt = "import qt" in path.read_text("utf-8")
        assert imports_qt == (path.name in ("widget.py", "keys.py", "cells.py", "plot.py")), path.name
