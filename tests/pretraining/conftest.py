"""A small prepared cohort and a run on it that takes a second."""

import shutil
from pathlib import Path

import pytest
from cohorts import cohort, make_config, read_losses

from pretraining.data.cache import Cache
from pretraining.data.prepare import prepare_cohort
from pretraining.run.devices import make_fabric
from pretraining.run.loop import pretrain


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five prepared studies, one of them with one sequence only; one is held out."""
    root = tmp_path_factory.mktemp("prepared")
    index = cohort(root / "in", {"a": "t1 flair t2", "b": "t1", "c": "t1 t2", "d": "dwi", "e": "t1 t2"})
    index = index.with_sessions(
        session.model_copy(update={"split": "validation" if session.subject == "e" else "train"})
        for session in index.sessions
    )
    index.write(root / "index.json")
    assert prepare_cohort(index, Cache(root / "index.cache", 4.0)) == []
    return root


@pytest.fixture
def tiny_index(prepared: Path, tmp_path: Path) -> Path:
    """The index of a copy of the prepared studies, at 4 mm."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path / "index.json"


@pytest.fixture(scope="session")
def whole(prepared: Path) -> list[list[float]]:
    """The losses of a run of six steps that nothing disturbs."""
    fabric = make_fabric("cpu")
    pretrain(prepared / "index.json", prepared / "whole", make_config(), fabric, workers=0, log_every=1)
    return read_losses(prepared / "whole")
