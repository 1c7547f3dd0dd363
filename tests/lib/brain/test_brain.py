"""The brain is found in a head, a stripped image is left alone, and other tools can do it instead."""

import os
import sys

import numpy as np
import pytest

from brainmvp.brain import Brain, find_brain, voted
from brainmvp.brain.stripped import is_stripped
from brainmvp.errors import BrainMVPError
from brainmvp.phantom.rescan import scan, scanned_mask
from brainmvp.registration.motion import rigid
from brainmvp.study import Study
from brainmvp.volume import Volume, read_volume


@pytest.fixture(scope="module")
def head():
    from brainmvp.phantom.generator import make_phantom
    from brainmvp.phantom.skull import with_head
    from brainmvp.sequences import Sequence

    wanted = (Sequence.T1, Sequence.FLAIR, Sequence.T2, Sequence.DWI)
    return with_head(make_phantom(4242, "tumour", difficulty=0.3, sequences=wanted, disease="tumour"), 4242)


@pytest.mark.parametrize(
    ("sequence", "spacing"),
    [("T1", (2.0, 2.0, 2.0)), ("FLAIR", (1.0, 1.0, 5.5)), ("T2", (2.0, 5.0, 2.0)), ("DWI", (2.0, 2.0, 4.0))],
)
def test_the_brain_is_found_in_any_sequence(head, sequence, spacing):
    motion = rigid(np.array([8.0, -9.0, 10.0]), np.array([9.0, -5.0, 8.0]), np.zeros(3))
    image = scan(head[sequence], spacing, motion)
    found = find_brain(image)
    truth = scanned_mask(head["brain"], image, motion)
    dice = 2 * (found.mask & truth).sum() / (found.mask.sum() + truth.sum())
    assert found.source == "built-in" and found.doubt is None
    assert dice > 0.9


def test_a_stripped_image_is_left_alone(head):
    brain = head["brain"].data
    image = Volume(np.where(brain, head["T1"].data, -0.5), head["T1"].affine)
    found = find_brain(image)
    assert found.source == "already stripped" and np.array_equal(found.mask, brain)


def test_what_one_sequence_alone_takes_for_brain_is_none():
    brain = np.zeros((12, 12, 12), bool)
    brain[3:9, 3:9, 3:9] = True
    with_orbit, with_nose = brain.copy(), brain.copy()
    with_orbit[9:11, 5:7, 5:7] = with_nose[5:7, 9:11, 5:7] = True
    for others in ([brain, with_nose], [with_nose]):
        assert np.array_equal(voted(Brain(with_orbit, "built-in"), others, 1.0).mask, brain)
    assert np.array_equal(voted(Brain(with_orbit, "built-in"), [], 1.0).mask, with_orbit)


def test_the_doubt_is_about_the_brain_that_the_vote_left():
    small, large = np.zeros((12, 12, 12), bool), np.zeros((12, 12, 12), bool)
    small[4:8, 4:8, 4:8] = large[2:10, 2:10, 2:10] = True
    doubtful = Brain(small, "built-in", "it is small")
    assert voted(doubtful, [large, large], 1.0).doubt is None
    assert "has 64 mL" in voted(Brain(large, "built-in"), [small], 1.0).doubt


def test_a_head_with_a_masked_background_is_no_stripped_brain(head):
    outside = head["T1"].data < 0.1 * np.percentile(head["T1"].data, 99)
    assert not is_stripped(Volume(np.where(outside, 0, head["T1"].data), head["T1"].affine))


def test_real_scans_are_told_apart(shared):
    for folder in ("tumour/BraTS-GLI-00000-000", "stroke/sub-strokecase0009", "multiple_sclerosis/patient07"):
        for path in Study.from_folder(shared / "data" / folder).images.values():
            assert is_stripped(read_volume(path)), path
    for path in Study.from_folder(shared / "data" / "native_tumour" / "TCGA-FG-6692").images.values():
        assert not is_stripped(read_volume(path)), path


@pytest.fixture
def fake_tool(tmp_path, monkeypatch):
    """A program on the PATH that takes SynthStrip's arguments and keeps what is bright."""
    program = tmp_path / "mri_synthstrip"
    program.write_text(
        f"#!{sys.executable}\nimport sys, nibabel as nib, numpy as np\n"
        "image = nib.load(sys.argv[sys.argv.index('-i') + 1])\ndata = image.get_fdata()\n"
        "nib.save(nib.Nifti1Image(np.where(data > 50, data, 0), image.affine), sys.argv[sys.argv.index('-o') + 1])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for SynthStrip is a Unix script")
def test_an_installed_tool_can_do_it_instead(fake_tool):
    data = np.random.default_rng(0).uniform(0, 100, (20, 22, 24)).astype(np.float32)
    found = find_brain(Volume(data, np.diag([2.0, 2, 2, 1])), "synthstrip")
    assert found.source == "synthstrip" and np.array_equal(found.mask, data > 50)
    assert "look at it" in found.doubt  # 42 mL are no brain


def test_a_tool_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    noise = Volume(np.random.default_rng(0).uniform(0, 100, (9, 9, 9)), np.eye(4))
    with pytest.raises(BrainMVPError, match="hd-bet is not on the PATH"):
        find_brain(noise, "hd-bet")
    with pytest.raises(BrainMVPError, match="finds no brains here"):
        find_brain(noise, "scalpel")
