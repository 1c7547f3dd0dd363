"""A path may begin with `~`, also where no shell has put the home folder in its place."""

import os
from pathlib import Path

import pytest
from commands import done


@pytest.fixture
def user(tmp_path, monkeypatch, brainmvp):
    """The home folder of whoever types, who keeps models and tasks in `kept` below it."""
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    monkeypatch.setenv("BRAINMVP_HOME", "~/kept")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_write_below_the_home_folder(brainmvp, user):
    (user / "cohort").mkdir()
    (user / "cohort" / "t1.nii.gz").touch()
    (user / "own.json").write_text('{"extends": "adni", "name": "own", "title": "Ours"}')
    done(brainmvp("index", "~/cohort", "--out=~/here.json"))
    done(brainmvp("tasks", "add", "~/own.json"))
    assert (user / "here.json").is_file() and list((user / "kept" / "tasks").iterdir())
    assert not Path("~").exists()


def test_a_folder_to_serve_may_begin_with_it(brainmvp, user):
    assert f"{user / 'gone'} is not a folder" in brainmvp("serve", "--studies=~/gone").stderr
