"""`brainmvp progress`, `models compare` and `restore`, and `simulate-annotation` in miniature."""

import json
import shlex

from commands import done

from brainmvp.annotation.cohorts import patient_in
from brainmvp.annotation.state import AnnotationState
from brainmvp.case import Case
from brainmvp.modelstore import ModelStore
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.write import write_study
from brainmvp.sequences import Sequence
from brainmvp.study import find_studies


def refusal(result):
    """Return what a command says that was refused as bad input."""
    assert result.exit_code == 2
    return result.stderr


def test_progress_writes_a_picture_and_a_table(brainmvp, tmp_path):
    AnnotationState(tmp_path).journal.add("final", task="tumour", study="a", annotator="Ada", seconds=90.0)
    assert "Ada" in done(brainmvp("progress", tmp_path, "--out", tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"progress.png", "progress.csv"}
    told = json.loads(done(brainmvp("progress", tmp_path, "--json")))
    assert told["labels"][0]["annotator"] == "Ada"
    assert "was never served" in refusal(brainmvp("progress", tmp_path / "out"))


def test_versions_are_compared_and_the_one_before_is_restored(brainmvp, home, tiny_models, tmp_path):
    store = ModelStore(home)
    model = ModelStore(tiny_models).resolve("tumour")
    store.serve("tumour", store.add(model.card, model.load_weights()).card.version)
    AnnotationState(tmp_path)
    words = ("models", "compare", "tumour@1", model.card.id, "--studies", tmp_path)
    shown = done(brainmvp(*words))
    assert "not both measured on held-out studies" in shown
    assert "{" not in shown  # every fact has a line
    found = json.loads(done(brainmvp(*words, "--json")))
    assert (found["a"]["version"], found["b"]["served"]) == (1, True)
    (tmp_path / ".brainmvp" / "archive.json").write_text("{}")
    told = " ".join(refusal(brainmvp(*words)).split())
    assert f"ask that: GET /models/tumour/compare?a=1&b={model.card.version}." in told
    assert "tumour is now tumour@1" in done(brainmvp("models", "restore", "tumour"))
    assert store.served("tumour") == 1
    for name in ("stroke", "stroke@1"):
        told = refusal(brainmvp("models", "restore", name))
        assert "No version of stroke was served before stroke@1; it is the only one." in told


def test_a_simulation_in_miniature(brainmvp, tmp_path):
    words = ("--phantoms", 6, "--test", 2, "--budgets", 2, "--seeds", 1, "--steps", 2, "--spacing", 12)
    chosen = ("--strategies", "random-foreground,hybrid", "--encoder", "stroke", "--device", "cpu")
    done(brainmvp("simulate-annotation", "--task", "stroke", "--out", tmp_path, *words, *chosen))
    told = json.loads((tmp_path / "simulation.json").read_text())
    assert (told["pool"], told["test"]) == (4, 2)
    assert list(told["strategies"]) == ["random-foreground", "hybrid"]
    assert all(0 <= value <= 1 for found in told["strategies"].values() for value in found["mean_dice"])
    assert (tmp_path / "simulation.png").is_file()
    assert "--phantom-seed 70000" in told["command"]
    curves = (tmp_path / "curves.csv").read_text()
    (tmp_path / "curves.csv").unlink()
    done(brainmvp(*shlex.split(told["command"])[1:]))
    assert (tmp_path / "curves.csv").read_text() == curves
    assert json.loads((tmp_path / "simulation.json").read_text()) == told
    command = ("simulate-annotation", "--out", tmp_path)
    assert "no strategy 'best'" in refusal(brainmvp(*command, "--strategies", "best"))
    assert "--budgets 3,many are no numbers" in refusal(brainmvp(*command, "--budgets", "3,many"))
    assert "adni is no segmentation" in refusal(brainmvp(*command, "--task", "adni"))
    assert "no vs-seg; give --cohort" in refusal(brainmvp(*command, "--task", "vs-seg"))


def test_a_labelled_cohort_is_simulated_too(brainmvp, tmp_path):
    for seed, place in enumerate(("P1/2024-01-31", "P1/2024-06-30", "P2", "P3", "P4")):
        phantom = make_phantom(
            seed, "stroke", spacing=8.0, difficulty=0.0, sequences=(Sequence.DWI, Sequence.ADC), disease="stroke"
        )  # fmt: skip
        write_study(tmp_path / "cohort" / place, phantom)
    words = ("simulate-annotation", "--task", "stroke", "--cohort", tmp_path / "cohort")
    chosen = ("--budgets", 2, "--seeds", 1, "--steps", 2, "--strategies", "random", "--device", "cpu")
    done(brainmvp(*words, "--test", 1, *chosen, "--out", tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "simulation.json").read_text())
    assert (told["cohort"], told["pool"], told["test"]) == ("cohort", 3, 1)
    cases = [Case(s, patient=patient_in(s, tmp_path / "cohort")) for s in find_studies(tmp_path / "cohort")]
    assert sorted(case.group for case in cases) == ["cohort/P1"] * 2 + ["cohort/P2", "cohort/P3", "cohort/P4"]
    few = refusal(brainmvp(*words, "--test", 3, "--out", tmp_path / "few"))
    assert "1 studies are left to label" in few
