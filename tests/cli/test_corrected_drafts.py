"""A draft that somebody corrected in a folder of results stays as it is; any other is made anew."""

import numpy as np
import pytest

from brainmvp.segment import Segmenter
from brainmvp.volume import Volume, read_volume, write_volume


@pytest.fixture
def again(brainmvp, write_study, tmp_path):
    """Return a function that segments a cohort, and the folder of its first study's results."""
    write_study("a", "FLAIR", tmp_path / "all")
    arguments = ("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out")
    return lambda: brainmvp(*arguments), tmp_path / "out" / "a"


def _contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("name", ["tumour.seg.nrrd", "tumour.nii.gz"])
def test_a_corrected_draft_is_kept_and_the_others_are_made(again, write_study, tmp_path, name):
    segment, folder = again
    write_study("b", "FLAIR", tmp_path / "all")
    assert segment().exit_code == 0
    draft = read_volume(folder / name)
    write_volume(Volume(np.zeros_like(draft.data), draft.affine), folder / name)
    before = _contents(folder)
    (folder.parent / "b" / "tumour.pdf").unlink()
    done = segment()
    assert done.exit_code == 2 and "1 segmented" in done.stdout
    assert (
        f"Error: {folder / name} is not as it was written here, perhaps somebody has corrected it"
        in done.stderr
    )
    assert _contents(folder) == before and (folder.parent / "b" / "tumour.pdf").exists()


@pytest.mark.parametrize("step", ["brainmvp.cli.drafts.write_json", "brainmvp.cli.segment._write_page"])
def test_what_nobody_changed_is_made_anew_even_after_a_run_that_was_killed(again, monkeypatch, step):
    segment, folder = again

    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    assert segment().exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(step, kill)
        with pytest.raises(Killed):
            segment()
    assert segment().exit_code == 0
    assert not list(folder.glob(".*"))


def test_a_draft_without_a_report_is_somebodys(again):
    segment, folder = again
    folder.mkdir(parents=True)
    (folder / "tumour.seg.nrrd").write_bytes(b"drawn")
    assert segment().exit_code == 2
    assert _contents(folder) == {"tumour.seg.nrrd": b"drawn"}


def test_a_correction_that_is_saved_during_the_work_is_kept(again, monkeypatch):
    segment, folder = again
    compute = Segmenter.segment

    def meanwhile(*arguments):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tumour.seg.nrrd").write_bytes(b"drawn")
        return compute(*arguments)

    monkeypatch.setattr(Segmenter, "segment", meanwhile)
    assert segment().exit_code == 2
    assert _contents(folder) == {"tumour.seg.nrrd": b"drawn"}
