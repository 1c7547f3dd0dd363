"""Studies are scored in the background: once, and again only when their files or the model change."""

import errno
import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from brainmvp.annotation.scores import Basis
from brainmvp.annotation.state import AnnotationState
from brainmvp.card import Card
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.prepare import Prepared, prepare
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume


def test_no_damaged_model_and_no_full_memory_spoils_the_other_scores(
    home: Path, tmp_path: Path, write_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(home))
    from brainmvp_app.datastore import StudyDatastore
    from brainmvp_app.infer import SegmentationTask
    from brainmvp_app.scorer import Scorer

    studies, tasks = tmp_path / "cohort", tuple(map(get_task, ("stroke", "tumour")))
    write_study("a", "T1CE FLAIR", studies)
    write_study("b", "DWI ADC", studies)
    store, state = StudyDatastore(str(studies), tasks), AnnotationState(studies)
    infers = {task.name: SegmentationTask(task, store, "cpu") for task in tasks}
    scorer = Scorer(store, state.scores, infers, "cpu")

    def fails(error: Exception) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    monkeypatch.setattr(infers["stroke"], "served", fails(BrainMVPError("damaged")))
    with monkeypatch.context() as full:
        full.setattr(Segmenter, "segment", fails(torch.OutOfMemoryError("full")))
        with pytest.raises(BrainMVPError, match="damaged"):
            scorer._score_one()
    assert state.scores.bases("tumour") == {}
    scorer._not_before.clear()
    assert scorer._score_one()
    assert list(state.scores.bases("tumour")) == ["a"]


def _from(cause: Exception) -> Exception:
    error = BrainMVPError("It cannot be read.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fault_of_the_study"),
    [
        (_from(OSError(errno.EIO, "Input/output error")), False),
        (_from(MemoryError()), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (_from(gzip.BadGzipFile("Not a gzipped file")), True),
        (BrainMVPError("It has no FLAIR."), True),
        (None, False),
    ],
)
def test_what_passes_is_tried_again_later_and_what_is_a_studys_fault_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, fault_of_the_study: bool
) -> None:
    from brainmvp_app import scorer as module

    def fail(*_: object, **__: object) -> None:
        raise error

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    state, task = AnnotationState(tmp_path), get_task("tumour")
    if error is None:  # the score is there, and cannot be written
        result = SimpleNamespace(probabilities={}, labels=SimpleNamespace(voxel_ml=1.0))
        monkeypatch.setattr(state.scores, "store", full)
    card = SimpleNamespace(sequences=(), id="m@1", identity="m@1 0")
    scorer = module.Scorer(None, state.scores, {}, "cpu")
    scorer._embedder_of = lambda model: SimpleNamespace(describe=lambda images: np.ones(2))
    study = Study("a", tmp_path, {})
    parts = (
        study,
        SimpleNamespace(
            card=card,
            prepare=lambda study: SimpleNamespace(images=None),
            segment=fail if error else lambda study, prepared: result,
        ),
        SimpleNamespace(task=task),
        SimpleNamespace(card=card),
        Basis("f", "m@1 0", "m@1 0"),
    )
    if fault_of_the_study:
        scorer._score(*parts)
    else:
        with pytest.raises(type(error or OSError())):
            scorer._score(*parts)
    assert ("a" in scorer._not_before) is not fault_of_the_study
    assert list(state.scores.bases("tumour")) == (["a"] if fault_of_the_study else [])


def test_a_score_is_worked_out_again_only_after_a_change(
    home: Path, tmp_path: Path, write_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(home))
    from brainmvp_app.datastore import StudyDatastore
    from brainmvp_app.infer import SegmentationTask
    from brainmvp_app.scorer import Scorer

    studies, task = tmp_path / "cohort", get_task("tumour")
    for name in ("a", "b"):
        write_study(name, "T1CE FLAIR", studies)
    (studies / "c").mkdir()
    (studies / "c" / "c_flair.nii.gz").write_bytes(b"no image")
    (studies / "0").mkdir()
    (studies / "0" / "0_flair.nii.gz").symlink_to(tmp_path / "not-fetched.nii.gz")
    store, state = StudyDatastore(str(studies), (task,)), AnnotationState(studies)
    scorer = Scorer(store, state.scores, {"tumour": SegmentationTask(task, store, "cpu")}, "cpu")

    def scored() -> list[str]:
        """Score until there is nothing left to do, and return the studies that were."""
        known, found, times = state.scores.bases("tumour"), [], 0
        while scorer._score_one():
            times += 1
            now = state.scores.bases("tumour")
            found += [study for study in now if now[study] != known.get(study)]
            known = now
        assert times == len(found)
        return found

    assert scored() == ["0", "a", "b", "c"]
    facts = state.scores.facts("tumour")
    assert facts["a"].entropy and facts["a"].embedding is not None
    assert facts["c"].embedding is None  # it cannot be read: not tried again and again
    assert facts["0"].failed
    assert scored() == []
    (tmp_path / "not-fetched.nii.gz").write_bytes((studies / "a" / "a_flair.nii.gz").read_bytes())
    assert scored() == ["0"]
    assert not state.scores.facts("tumour")["0"].failed

    file = studies / "b" / "b_flair.nii.gz"
    image = read_volume(file)
    write_volume(Volume((image.data + 1).astype(np.int16), image.affine), file)
    assert scored() == ["b"]
    ModelStore().serve("tumour", 1)
    assert scored() == ["0", "a", "b", "c"]
    assert state.scores.bases("tumour")["a"].model == ModelStore().get("tumour", 1).card.identity
    (studies / "a").rename(tmp_path / "a")  # a share that is away for a while
    assert scored() == []
    (tmp_path / "a").rename(studies / "a")
    assert scored() == []


def test_a_study_is_prepared_once_for_a_score_and_its_embedding(
    home: Path, tmp_path: Path, write_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINMVP_HOME", str(home))
    from brainmvp_app.datastore import StudyDatastore
    from brainmvp_app.infer import SegmentationTask
    from brainmvp_app.scorer import Scorer

    prepared = []

    def counted(*args: Any, **options: Any) -> Prepared:
        prepared.append(args[0].id)
        return prepare(*args, **options)

    monkeypatch.setattr("brainmvp.segment.prepare", counted)
    monkeypatch.setattr("brainmvp.selection.embed.prepare", counted)
    studies, task = tmp_path / "cohort", get_task("tumour")
    write_study("a", "T1CE FLAIR", studies)
    store, state = StudyDatastore(str(studies), (task,)), AnnotationState(studies)
    scorer = Scorer(store, state.scores, {"tumour": SegmentationTask(task, store, "cpu")}, "cpu")

    def score() -> tuple[int, np.ndarray]:
        """Score the study, and return how often it was prepared for that, and its embedding."""
        before = len(prepared)
        assert scorer._score_one()
        return len(prepared) - before, state.scores.facts("tumour")["a"].embedding

    times, _ = score()  # the encoder is that of the served model
    assert times == 1
    config = NetworkConfig.preset("unet-light", 1, 1)
    card = Card(
        name="own", version=1, kind="encoder", title="", sequences=tuple(Sequence), network=config, spacing=4.0,
        window=(64, 64, 64), created=date(2026, 1, 1),
    )  # fmt: skip
    weights = {k: v for k, v in build_network(config).state_dict().items() if k.startswith("encoder.")}
    ModelStore().add(card, weights)
    times, own = score()
    assert times == 2
    ModelStore().serve("tumour", 1)
    times, after = score()
    assert times == 1
    assert np.array_equal(own, after)
    file = studies / "a" / "a_flair.nii.gz"
    image = read_volume(file)
    write_volume(Volume((image.data * 2).astype(np.int16), image.affine), file)
    times, _ = score()
    assert times == 2
