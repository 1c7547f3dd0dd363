"""Preparing a cohort: each series once, read back by patch, whatever is bad, killed or stopped."""

import gzip
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from brainmvp.cohort import Image, Index, Session
from brainmvp.cohort.scan import index_folder
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.volume import Volume, read_volume, write_volume
from pretraining.data.cache import Cache
from pretraining.data.prepare import cluster, prepare_cohort
from pretraining.data.preprocess import LEVELS, preprocess, symmetric_box
from pretraining.data.stream import Sampling, Stream
from pretraining.recipe import RECIPES
from pretraining.run.loader import Batches


def cohort(write_study: Callable[..., Path], root: Path, studies: dict[str, str]) -> Index:
    """Write studies (name: sequences) whose series have grids of their own, and return their index."""
    for name, sequences in studies.items():
        write_study(name, sequences, root)
    return index_folder(root)[0]


def not_bad(file: str, sentence: str) -> None:
    raise AssertionError(sentence)


@dataclass(frozen=True)
class LiveImages:
    """A study prepared in memory, to hold the cached one against."""

    series: list[tuple[Sequence, np.ndarray]]

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        return tuple(sequence for sequence, _ in self.series)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.series[0][1].shape

    def read(self, number: int, box: tuple[slice, slice, slice]) -> np.ndarray:
        return self.series[number][1][box]


def sampling(recipe: str = "paper", series: int | None = None, patch: int = 32) -> Sampling:
    return Sampling((patch,) * 3, (240, 240, 155), RECIPES[recipe], series, seed=5)


def test_a_1_mm_image_is_turned_and_cropped_but_not_interpolated(tmp_path: Path) -> None:
    data = np.zeros((20, 24, 28), np.float32)
    data[4:15, 6:20, 9:20] = np.random.default_rng(0).uniform(1, 100, (11, 14, 11))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps[:3, 3] = [10, 230, -7]
    write_volume(Volume(data, lps), tmp_path / "p" / "p_t1.nii.gz")
    index, _ = index_folder(tmp_path)
    ((_, values),) = preprocess(index, index.sessions[0], 1.0, not_bad)
    # Symmetric about the middle: 4 voxels are free on one side of x and 5 on the other, so 4 go on both.
    box = data[::-1, ::-1][4:16, 4:20, 8:20]
    low, high = np.percentile(box, (5, 95))
    expected = np.clip((box - low) / (high - low), 0, 1)
    assert values.shape == box.shape
    np.testing.assert_allclose(values / LEVELS, expected, atol=1e-5)


def test_sequences_of_other_grids_lie_on_one_grid(write_study, tmp_path: Path) -> None:
    index = cohort(write_study, tmp_path, {"a": "t1 flair t2"})
    images = [values for _, values in preprocess(index, index.sessions[0], 1.0, not_bad)]
    assert len(images) == 3 and len({values.shape for values in images}) == 1
    first, *others = [values.astype(float) / LEVELS for values in images]
    for other in others:  # the same head: what is bright in one is not outside the other
        assert (other[first > 0.5] > 0.05).mean() > 0.95


def test_a_symmetric_box_holds_the_mask() -> None:
    mask = np.zeros((10, 9, 8), bool)
    mask[2, 3, 7] = True
    assert symmetric_box(mask) == (slice(2, 8), slice(3, 6), slice(0, 8))


@pytest.mark.parametrize(("recipe", "series"), [("paper", None), ("script", 4)])
def test_patches_are_the_same_cached_or_not(
    write_study, tmp_path: Path, recipe: str, series: int | None
) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1 flair t2", "b": "dwi"})
    cache = Cache(tmp_path / "cache", 1.0)
    assert prepare_cohort(index, cache) == []
    cached = [cache.open(index, session) for session in index.sessions]
    live = [LiveImages(preprocess(index, session, 1.0, not_bad)) for session in index.sessions]
    for number in range(4):
        one, two = (Stream(images, sampling(recipe, series, 48), 2)[number] for images in (cached, live))
        assert torch.equal(one.images, two.images) and torch.equal(one.start, two.start)
        assert torch.equal(one.plan.keep_first, two.plan.keep_first)
        assert one.images.max() > 0.5


def test_a_patch_larger_than_the_study_lies_around_it_and_so_does_the_template(
    write_study, tmp_path: Path
) -> None:
    index = cohort(write_study, tmp_path, {"a": "t1"})
    live = LiveImages(preprocess(index, index.sessions[0], 1.0, not_bad))
    images, start, _ = sampling(patch=96).draw(live, "0", other_sequence=True)
    length = np.array(live.shape)
    assert images.shape == (1, 96, 96, 96)
    assert start == ((np.array([240, 240, 155]) - length) // 2 - (96 - length) // 2).tolist()
    inside = tuple(slice((96 - n) // 2, (96 - n) // 2 + n) for n in length.tolist())
    assert torch.count_nonzero(images[0]) == torch.count_nonzero(images[0][inside])


def test_what_is_done_is_skipped_until_its_files_change(write_study, tmp_path: Path) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1", "b": "t2"})
    cache = Cache(tmp_path / "cache", 2.0)
    prepare_cohort(index, cache)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.b2nd")}
    prepare_cohort(index, cache)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    changed = index.path(index.sessions[0].images[0].file)
    volume = read_volume(changed)
    write_volume(Volume(volume.data[::-1].copy(), volume.affine), changed)
    prepare_cohort(index, cache)
    assert [path.stat().st_mtime_ns != time for path, time in sorted(before.items())] == [True, False]
    coarse = Cache(tmp_path / "cache", 4.0)
    with pytest.raises(BrainMVPError, match="is not prepared"):
        coarse.open(index, index.sessions[0])
    prepare_cohort(index, coarse)
    fine, rough = (each.open(index, index.sessions[0]).shape for each in (cache, coarse))  # side by side
    assert fine[0] > 1.5 * rough[0]


def test_a_bad_file_is_tried_again_though_it_looks_the_same(write_study, tmp_path: Path) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1"})
    path, cache = index.path(index.sessions[0].images[0].file), Cache(tmp_path / "cache", 4.0)
    good, before = path.read_bytes(), path.stat()
    for content, count in ((b"?" * len(good), 1), (good, 0)):
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert len(prepare_cohort(index, cache)) == count
    assert cache.open(index, index.sessions[0])


@pytest.mark.parametrize("change", [Path.unlink, lambda path: os.truncate(path, 100)])
def test_what_is_gone_from_the_cache_or_cut_short_is_prepared_again(
    write_study, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1 t2"})
    cache = Cache(tmp_path / "cache", 4.0)
    prepare_cohort(index, cache)
    change(next((tmp_path / "cache").rglob("1_*.b2nd")))
    with pytest.raises(BrainMVPError, match="in/a/1 is not prepared; run `brainmvp prepare`"):
        cache.open(index, index.sessions[0])
    assert prepare_cohort(index, cache) == []
    assert cache.open(index, index.sessions[0]).read(1, (slice(0, 9),) * 3).any()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_one_sentence_also_from_a_worker(write_study, tmp_path: Path, workers: int) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1"})
    cache = Cache(tmp_path / "cache", 4.0)
    prepare_cohort(index, cache)
    images = cache.open(index, index.sessions[0])
    images.files[0].write_bytes(b"?" * 1000)
    with pytest.raises(BrainMVPError) as caught:
        next(iter(Batches(Stream([images], sampling(), 1), 0, 1, workers, pin=False, tell=print)))
    sentence = str(caught.value)
    assert sentence.startswith(f"{images.files[0]} is damaged") and "\n" not in sentence
    assert sentence.endswith("delete it and run `brainmvp prepare`.")


def test_a_relative_cache_is_where_it_was_asked_for(write_study, tmp_path: Path, monkeypatch) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1"})
    monkeypatch.chdir(tmp_path)
    cache = Cache(Path("cache"), 4.0)
    monkeypatch.chdir(tmp_path / "in")  # as a worker of a cluster, in a folder of its own
    prepare_cohort(index, cache)
    assert list((tmp_path / "cache").rglob("*.b2nd"))


def test_a_full_disk_ends_it_in_one_sentence(write_study, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    index = cohort(write_study, tmp_path / "in", {"a": "t1"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(BrainMVPError, match=r"cache has no space left .*; free some and run it again"):
            prepare_cohort(index, Cache(tmp_path / "cache", 1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_nobody_foresaw_costs_its_study_only(write_study, tmp_path: Path, monkeypatch) -> None:
    def preprocess_b(index, session, *more):
        if session.subject == "a":
            raise MemoryError("Unable to allocate 9 GiB")
        return preprocess(index, session, *more)

    index = cohort(write_study, tmp_path / "in", {"a": "t1", "b": "t1"})
    cache = Cache(tmp_path / "cache", 4.0)
    monkeypatch.setattr("pretraining.data.cache.preprocess", preprocess_b)
    assert prepare_cohort(index, cache) == [
        "in/a/1 could not be prepared (Unable to allocate 9 GiB); run it again."
    ]
    assert cache.open(index, index.sessions[1])


def test_the_readers_start_in_a_way_that_the_system_has(monkeypatch) -> None:
    for known in (["fork", "spawn", "forkserver"], ["spawn"]):  # as on Linux, and on Windows
        monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda known=known: known)
        loader = Batches(Stream([], sampling(), 1), 0, 1, workers=1, pin=False, tell=print)._loader()
        assert loader.multiprocessing_context.get_start_method() == known[-1]


def test_every_bad_file_is_one_line_and_no_good_one_is_lost(write_study, tmp_path: Path) -> None:
    index = cohort(write_study, tmp_path / "in", {"a": "t1 flair t2", "b": "t1", "c": "t2"})
    folder = tmp_path / "in" / "a"
    good = read_volume(folder / "a_t2.nii.gz")
    whole = gzip.decompress((folder / "a_t1.nii.gz").read_bytes())
    (folder / "a_t1.nii.gz").write_bytes(gzip.compress(whole[: len(whole) // 2]))
    values = good.data.astype(np.float32)
    values[3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(values, good.affine), folder / "a_flair.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((9, 9), np.uint8), np.eye(4)), tmp_path / "in" / "b" / "b_t1.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), tmp_path / "in" / "c" / "c_pd.nii.gz")
    nib.save(
        nib.Nifti1Image(good.data, good.affine * 1000), tmp_path / "in" / "c" / "c_t1.nii.gz"
    )  # micrometres
    missing = Session(
        dataset="in", subject="z", session="1", images=(Image(sequence=Sequence.T1, file="z/z_t1.nii.gz"),)
    )
    index = Index(index.root, [*index_folder(tmp_path / "in")[0].sessions, missing])
    cache = Cache(tmp_path / "cache", 1.0)
    for _ in range(2):  # said again by the next call, which reads none of them
        problems = prepare_cohort(index, cache)
        assert len(problems) == 6 and all("\n" not in problem for problem in problems)
        for name, words in {
            "a_t1.nii.gz": "cannot be read", "a_flair.nii.gz": "not finite", "b_t1.nii.gz": "not a 3-D volume",
            "c_pd.nii.gz": "same value", "c_t1.nii.gz": "more than any head scan",
            "z_t1.nii.gz": "does not exist",
        }.items():  # fmt: skip
            assert any(name in problem and words in problem for problem in problems), (name, problems)
    opened = [cache.open(index, session) for session in index.sessions]
    assert [images and images.sequences for images in opened] == [(Sequence.T2,), None, (Sequence.T2,), None]


def test_a_killed_worker_costs_its_study_only_and_the_next_call_does_the_rest(
    write_study, tmp_path: Path
) -> None:
    import dask
    import distributed  # noqa: F401  (its settings have to be there before one of them is changed)

    index = cohort(write_study, tmp_path / "in", dict.fromkeys("abcdef", "t1 t2"))
    cache = Cache(tmp_path / "cache", 1.0)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), cluster(2, None) as client:
        pids = list(client.run(os.getpid).values())
        done = threading.Event()

        def kill_one(study: str, fraction: float) -> None:
            if not done.is_set():
                done.set()
                os.kill(pids[0], 9)

        problems = prepare_cohort(index, cache, client, kill_one)
        assert done.is_set()
        assert all("could not be prepared" in problem for problem in problems) and len(problems) < 5
        assert prepare_cohort(index, cache, client) == []
    assert all(cache.open(index, session) for session in index.sessions)
    assert not list((tmp_path / "cache").rglob(".writing-*"))
