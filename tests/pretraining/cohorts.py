"""Small cohorts of stripped heads at 3 mm, for the tests of pretraining."""

from pathlib import Path

from heads import centre_of, head, oblique

from brainmvp.cohort import Index
from brainmvp.cohort.scan import index_folder
from brainmvp.volume import write_volume

_SHAPE = (18, 20, 18)


def cohort(root: Path, studies: dict[str, str]) -> Index:
    """Write studies (name: sequences) and return their index."""
    affine = oblique((3.0, 3.0, 3.0), "LPS")
    for number, (name, sequences) in enumerate(studies.items()):
        for sequence in sequences.split():
            image = head(_SHAPE, affine, centre_of(_SHAPE, affine), 10 * number + len(sequence))
            write_volume(image, root / name / f"{name}_{sequence}.nii.gz")
    return index_folder(root)[0]
