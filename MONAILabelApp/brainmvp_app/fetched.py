"""Images that are no files yet, as files: MONAI Label and its clients know nothing else.

A DICOM series becomes a NIfTI file when somebody asks for it, not when its study is listed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from threading import RLock

from brainmvp.dicom.series import DicomImage
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.volume import read_volume, write_volume


class FetchedImages(Mapping[Sequence, Path]):
    """The images of a DICOM study as files in a folder, each made when it is asked for."""

    def __init__(self, sources: Mapping[Sequence, DicomImage], folder: Path) -> None:
        self.sources = dict(sources)
        self._folder = folder
        self._making = RLock()

    def place(self, sequence: Sequence) -> Path:
        """Return where an image lies, or will; another series for the sequence has another name."""
        return self._folder / f"{sequence.lower()}-{self.sources[sequence].mark}.nii.gz"

    def __getitem__(self, sequence: Sequence) -> Path:
        path = self.place(sequence)
        with self._making:
            if not path.is_file():
                write_volume(read_volume(self.sources[sequence]), path)
                for other in self._folder.glob(f"{sequence.lower()}-*.nii.gz"):
                    if other != path:
                        other.unlink()
        return path

    def only(self, sequences: Collection[Sequence]) -> "FetchedImages":
        """Return the images of some sequences: the same files, of which nothing is made twice."""
        some = copy(self)
        some.sources = {sequence: image for sequence, image in self.sources.items() if sequence in sequences}
        return some

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def __contains__(self, sequence: object) -> bool:
        return sequence in self.sources


def with_files(study: Study, folder: Path) -> Study:
    """Return a study whose images are files, made in a folder where they are none."""
    sources = {s: image for s, image in study.images.items() if isinstance(image, DicomImage)}
    return replace(study, images=FetchedImages(sources, folder)) if sources else study


def only(study: Study, sequences: tuple[Sequence, ...]) -> Study:
    """Return the study with these of its sequences, none of which is fetched for that."""
    images = study.images
    if isinstance(images, FetchedImages):
        return replace(study, images=images.only(sequences))
    return study.only(sequences)


def as_dicom(study: Study) -> Study:
    """Return the study with its DICOM series in place of the files made from them."""
    images = study.images
    return replace(study, images=images.sources) if isinstance(images, FetchedImages) else study


def fetch(study: Study, sequences: Iterable[Sequence]) -> None:
    """Make the files of the sequences that a study has; raises `BrainMVPError` naming the series that cannot be."""
    for sequence in sequences:
        if sequence in study.images:
            _ = study.images[sequence]


def place_of(study: Study, sequence: Sequence) -> Path:
    """Return where a study's image lies, or will lie once somebody asks for it."""
    images = study.images
    return images.place(sequence) if isinstance(images, FetchedImages) else images[sequence]
