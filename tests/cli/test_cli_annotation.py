"""`brainmvp progress`, `models compare` and `restore`, and `simulate-annotation` in miniature."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainmvp.annotation.cohorts import patient_in
from brainmvp.annotation.state import AnnotationState
from brainmvp.case import Case
from brainmvp.cli import app
from brainmvp.modelstore import ModelStore
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.write import write_study
from brainmvp.sequences import Sequence
from brainmvp.study import find_studies

run = CliRunner().invoke


def refusal(*words: str) -> str:
    """Return what a command says that is refused as bad input."""
    result = run(app, [*words])
    assert result.exit_code == 2
    return result.stderr


def test_progress_writes_a_picture_and_a_table(tmp_path: Path) -> None:
    AnnotationState(tmp_path).journal.add("final", task="tumour", study="a", annotator="Ada", seconds=90.0)
    result = run(app, ["progress", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "Ada" in result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"progress.png", "progress.csv"}
    told = json.loads(run(app, ["progress", str(tmp_path), "--json"]).output)
    assert told["labels"][0]["annotator"] == "Ada"
    assert "was never served" in refusal("progress", str(tmp_path / "out"))


def test_versions_are_compared_and_the_one_before_is_restored(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path / "home")
    model = ModelStore(tiny_models).resolve("tumour")
    store.serve("tumour", store.add(model.card, model.load_weights()).card.version)
    monkeypatch.setenv("BRAINMVP_HOME", str(tmp_path / "home"))
    AnnotationState(tmp_path)
    words = ["models", "compare", "tumour@1", model.card.id, "--studies", str(tmp_path)]
    shown = run(app, words).output
    assert "not both measured on held-out studies" in shown
    assert "{" not in shown  # every fact has a line
    found = json.loads(run(app, [*words, "--json"]).output)
    assert (found["a"]["version"], found["b"]["served"]) == (1, True)
    (tmp_path / ".brainmvp" / "archive.json").write_text("{}")
    assert f"ask that: GET /models/tumour/compare?a=1&b={model.card.version}." in " ".join(
        refusal(*words).split()
    )
    assert "tumour is now tumour@1" in run(app, ["models", "restore", "tumour"]).output
    assert store.served("tumour") == 1
    for name in ("stroke", "stroke@1"):
        told = refusal("models", "restore", name)
        assert "No version of stroke was served before stroke@1; it is the only one." in told


def test_a_simulation_in_miniature(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(tiny_models))
    words = [
        "--phantoms", "6", "--test", "2", "--budgets", "2", "--seeds", "1", "--steps", "2", "--spacing", "12",
    ]  # fmt: skip
    chosen = ["--strategies", "random-foreground,hybrid", "--encoder", "stroke", "--device", "cpu"]
    result = run(app, ["simulate-annotation", "--task", "stroke", "--out", str(tmp_path), *words, *chosen])
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "simulation.json").read_text())
    assert (told["pool"], told["test"]) == (4, 2)
    assert list(told["strategies"]) == ["random-foreground", "hybrid"]
    assert all(0 <= value <= 1 for found in told["strategies"].values() for value in found["mean_dice"])
    assert (tmp_path / "simulation.png").is_file()
    assert "--phantom-seed 70000" in told["command"]
    curves = (tmp_path / "curves.csv").read_text()
    (tmp_path / "curves.csv").unlink()
    assert run(app, shlex.split(told["command"])[1:]).exit_code == 0
    assert (tmp_path / "curves.csv").read_text() == curves
    assert json.loads((tmp_path / "simulation.json").read_text()) == told
    command = ["simulate-annotation", "--out", str(tmp_path)]
    assert "no strategy 'best'" in refusal(*command, "--strategies", "best")
    assert "--budgets 3,many are no numbers" in refusal(*command, "--budgets", "3,many")
    assert "adni is no segmentation" in refusal(*command, "--task", "adni")
    assert "no vs-seg; give --cohort" in refusal(*command, "--task", "vs-seg")


def test_a_labelled_cohort_is_simulated_too(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(tiny_models))
    for seed, place in enumerate(("P1/2024-01-31", "P1/2024-06-30", "P2", "P3", "P4")):
        phantom = make_phantom(
            seed, "stroke", spacing=8.0, difficulty=0.0, sequences=(Sequence.DWI, Sequence.ADC), disease="stroke"
        )  # fmt: skip
        write_study(tmp_path / "cohort" / place, phantom)
    words = ["simulate-annotation", "--task", "stroke", "--cohort", str(tmp_path / "cohort"), "--test", "1"]
    words += ["--budgets", "2", "--seeds", "1", "--steps", "2", "--strategies", "random", "--device", "cpu"]
    result = run(app, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "simulation.json").read_text())
    assert (told["cohort"], told["pool"], told["test"]) == ("cohort", 3, 1)
    cases = [Case(s, patient=patient_in(s, tmp_path / "cohort")) for s in find_studies(tmp_path / "cohort")]
    assert sorted(case.group for case in cases) == ["cohort/P1"] * 2 + ["cohort/P2", "cohort/P3", "cohort/P4"]
    assert "1 studies are left to label" in refusal(*words[:5], "--test", "3", "--out", str(tmp_path / "few"))
