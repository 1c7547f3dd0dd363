"""`brainmvp phantom` writes studies that the rest of the command line can read."""

import json

import numpy as np

from brainmvp.volume import read_volume


def test_the_same_seed_gives_the_same_study(brainmvp, tmp_path):
    for out in ("a", "b"):
        result = brainmvp(
            "phantom", "--out", tmp_path / out, "--tasks", "stroke", "--seed", "5", "--own-grids"
        )
        assert result.exit_code == 0, result.output
    first, second = (read_volume(tmp_path / out / "stroke-0005" / "stroke-0005_dwi.nii.gz") for out in "ab")
    assert np.array_equal(first.data, second.data)
    (study,) = json.loads(brainmvp("study", tmp_path / "a", "--json").stdout)["studies"]
    assert set(study["sequences"]) == {"DWI", "ADC"}
    assert study["label"] == "stroke-0005_seg.nii.gz"


def test_preview_is_a_picture(brainmvp, tmp_path):
    result = brainmvp("phantom", "--out", tmp_path, "--tasks", "stroke", "--preview")
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["preview-stroke.png"]


def test_real_brains_are_among_those_that_phantoms_start_from(brainmvp, shared, tmp_path):
    asked = ("--tasks", "stroke", "--subjects", "4", "--spacing", "8")
    for out, more in (("atlas", ()), ("real", ("--patients", shared / "data" / "multiple_sclerosis"))):
        result = brainmvp("phantom", "--out", tmp_path / out, *asked, *more)
        assert result.exit_code == 0, result.output
    names = [f"stroke-{seed:04d}/stroke-{seed:04d}_dwi.nii.gz" for seed in range(4)]
    alike = [
        np.array_equal(*(read_volume(tmp_path / out / name).data for out in ("atlas", "real")))
        for name in names
    ]
    assert not all(alike)
    refused = brainmvp("phantom", "--out", tmp_path / "none", *asked, "--patients", tmp_path)
    assert refused.exit_code == 2 and "has no patients" in refused.stderr


def test_a_page_refuses_what_it_does_not_show(brainmvp, tmp_path):
    result = brainmvp("phantom", "--out", tmp_path, "--preview", "--own-grids")
    assert result.exit_code == 2 and "are of studies" in result.stderr


def test_a_study_that_is_there_is_not_written_over(brainmvp, tmp_path):
    corrected = tmp_path / "stroke-0001" / "stroke-0001_seg.nii.gz"
    corrected.parent.mkdir()
    corrected.write_bytes(b"hours of work")
    result = brainmvp("phantom", "--out", tmp_path, "--tasks", "stroke", "--subjects", "2", "--spacing", "8")
    assert result.exit_code == 2 and f"{corrected.parent} is there already" in result.stderr
    assert corrected.read_bytes() == b"hours of work" and not (tmp_path / "stroke-0000").exists()


def test_an_unknown_task_is_refused(brainmvp, tmp_path):
    assert "no task named 'gout'" in brainmvp("phantom", "--out", tmp_path, "--tasks", "gout").stderr
    for options in (("adni",), ("isles-2022", "--preview")):
        result = brainmvp("phantom", "--out", tmp_path, "--tasks", *options)
        assert result.exit_code == 2 and f"Made-up brains have no {options[0]}" in result.stderr


def test_any_of_the_eight_sequences_are_made_at_any_spacing(brainmvp, tmp_path):
    result = brainmvp(
        "phantom", "--out", tmp_path, "--tasks", "stroke", "--sequences", "all", "--spacing", "6"
    )
    assert result.exit_code == 0, result.output
    (study,) = json.loads(brainmvp("study", tmp_path, "--json").stdout)["studies"]
    assert len(study["sequences"]) == 8
    pd = read_volume(tmp_path / "stroke-0000" / "stroke-0000_pd.nii.gz")
    assert np.allclose(np.linalg.norm(pd.affine[:3, :3], axis=0), 6)
    refused = brainmvp("phantom", "--out", tmp_path, "--sequences", "T1,T7")
    assert refused.exit_code == 2 and "no sequence 'T7'" in refused.stderr
