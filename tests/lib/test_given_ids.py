"""What tells a labelled study from others of its name."""

from pathlib import Path

import numpy as np
import pytest

from brainmvp.given_ids import GivenIds
from brainmvp.study import find_studies
from brainmvp.volume import Volume, write_volume


def write_head(path: Path, seed: int) -> Path:
    """Write an image of 64x64x24 voxels without a skull, uncompressed."""
    voxels = np.zeros((64, 64, 24), np.int16)
    voxels[16:48, 32:36, 3:21] = np.random.default_rng(seed).integers(1, 1000, (32, 4, 18))
    return write_volume(Volume(voxels, np.eye(4)), path)


def labelled(root: Path) -> GivenIds:
    """Return the ids of a folder where the study siteA/p1 was labelled."""
    GivenIds(root).keep(find_studies(root / "siteA"))
    return GivenIds(root)


def test_heads_of_one_grid_are_told_apart_though_background_lies_in_the_middle_of_their_files(
    tmp_path: Path,
) -> None:
    own, other = (
        write_head(tmp_path / site / "p1" / "flair.nii", seed) for seed, site in enumerate(("siteA", "siteB"))
    )
    middle = own.stat().st_size // 2
    assert len({file.read_bytes()[middle : middle + 4096] for file in (own, other)}) == 1
    ids = labelled(tmp_path)
    assert not ids.fits("p1", other.parent, {"FLAIR": other})
    assert ids.fits("p1", tmp_path / "elsewhere", {"FLAIR": own})


@pytest.mark.parametrize("since", ["rewritten", "removed"])
def test_a_study_that_is_moved_is_known_by_one_image(tmp_path: Path, since: str) -> None:
    images = {
        sequence: write_head(tmp_path / "siteA" / "p1" / f"{sequence}.nii", seed)
        for seed, sequence in enumerate(("FLAIR", "T1CE"))
    }
    ids = labelled(tmp_path)
    if since == "rewritten":
        write_head(images["T1CE"], 2)
    else:
        images.pop("T1CE").unlink()
    assert ids.fits("p1", tmp_path / "done" / "p1", images)
    assert not ids.fits("p1", tmp_path / "done" / "p1", {"T1": images["FLAIR"]})
