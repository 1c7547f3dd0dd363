"""The command line as a process: quick to answer, exit codes, nothing but the result on standard output."""

import json
import os
import re
import subprocess
import sys

import pytest

from brainmvp import __version__


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "brainmvp", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def loaded(names, *arguments):
    """Return which of these modules a command loads, as printed, and what it prints before."""
    script = (
        "import sys\n"
        "from brainmvp.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        f"print(sorted({names} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    *said, found = done.stdout.splitlines()
    return found, said


def test_help_does_not_load_pytorch():
    found, said = loaded({"torch", "monai", "numpy", "matplotlib"}, "--help")
    assert "segment" in "\n".join(said)
    assert found == "[]"


def test_a_study_is_segmented_without_loading_what_takes_longer(write_study, tmp_path):
    study, out = write_study("visit", "FLAIR T1CE"), tmp_path / "out.nii.gz"
    found, _ = loaded(
        {"monai", "pandas", "matplotlib.pyplot"}, "segment", study, "--task", "tumour", "--out", out
    )
    assert out.is_file()
    assert found == "[]"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell the processor time of finished children")
def test_help_is_quick():
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}

    def processor_seconds():
        before = os.times()
        run("--help", env=quiet)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    # 0.3 s on the machine it was written on; processor time, since tests may share a machine with other work.
    assert min(processor_seconds() for _ in range(3)) < 0.6


def test_help_fills_its_lines_and_shows_no_leftovers():
    shown = {
        name: run(name, "--help", env=os.environ | {"COLUMNS": "80"}, encoding="utf-8").stdout
        for name in ("serve", "segment")
    }
    before_the_options = shown["segment"].split("╭")[0].splitlines()
    paragraph = [line.strip() for line in before_the_options if "TASK." in line or "exit" in line]
    assert min(map(len, paragraph)) > 60  # no line ends where the docstring's did
    assert "Usage: python -m brainmvp serve [OPTIONS]\n" in re.sub(" +\n", "\n", shown["serve"])


def test_version():
    assert run("--version").stdout == f"brainmvp {__version__}\n"


def test_bad_input_ends_with_one_sentence_and_code_2(tmp_path):
    done = run("segment", tmp_path / "absent", "--task", "tumour", "--out", tmp_path / "out.nii.gz")
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr
        == f"Error: {tmp_path / 'absent'} is not a folder; give the folder that holds the study's sequences.\n"
    )


def test_json_can_be_piped(write_study):
    done = run("study", write_study("visit", "FLAIR"), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["studies"][0]["study"] == "visit"


@pytest.mark.parametrize(
    "setting",
    [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_names_of_every_alphabet_go_into_a_file_whatever_the_code_page(write_study, setting):
    folder = write_study("张三 Łuczak", "FLAIR")
    for form in ((), ("--json",)):
        done = run("study", folder, *form, env=os.environ | setting, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        assert folder.name in done.stdout


def test_a_table_fits_a_terminal_of_80_columns_and_keeps_its_words():
    done = run("models", "list", env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": "80"}, encoding="utf-8")
    shown = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
    table = [line for line in shown.splitlines() if line[0] in "┏┃┡│└"]
    assert max(map(len, table)) <= 80
    assert {"segmentation:", "tumour", "FLAIR", "tumour@1"} <= set(re.findall(r"[^\s│┃,]+", shown))


def test_a_table_in_a_pipe_is_one_plain_line_a_row():
    done = run("models", "list", env=os.environ | {"COLUMNS": "80"}, encoding="utf-8")
    (row,) = (line for line in done.stdout.splitlines() if "encoder@1" in line)
    assert "FLAIR, T1, T1CE, T2, MRA, PD, DWI, ADC" in row
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="there is no head")
def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"'{sys.executable}' -m brainmvp evaluate --help | head -n 30"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert len(done.stdout.splitlines()) == 30
    assert not done.stderr
