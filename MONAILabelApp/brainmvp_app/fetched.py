"""Images that are not one file each, as files: MONAI Label and its clients know nothing else.

A DICOM series, or a header whose voxels lie elsewhere, becomes a NIfTI file when somebody asks for it, not when its
study is listed.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from threading import RLock

from brainmvp.dicom.series import DicomImage
from brainmvp.sequences import Sequence
from brainmvp.study import Study, image_state
from brainmvp.volume import read_volume, write_volume

# How a header's name ends whose voxels lie in another file.
HEADER = ".nhdr"


class FetchedImages(Mapping[Sequence, Path]):
    """The images of a study as files: those that are one already, others made in a folder when they are asked for."""

    def __init__(self, sources: Mapping[Sequence, DicomImage | Path], folder: Path) -> None:
        self.sources = dict(sources)
        self._folder = folder
        self._making = RLock()

    def place(self, sequence: Sequence) -> Path:
        """Return where an image lies, or will; another one for the sequence has another name."""
        source = self.sources[sequence]
        return self._folder / f"{sequence.lower()}-{_mark(source)}.nii.gz" if _is_made(source) else source

    def __getitem__(self, sequence: Sequence) -> Path:
        path = self.place(sequence)
        if not _is_made(self.sources[sequence]):
            return path
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


def _is_made(source: DicomImage | Path) -> bool:
    return isinstance(source, DicomImage) or source.name.lower().endswith(HEADER)


def _mark(source: DicomImage | Path) -> str:
    if isinstance(source, DicomImage):
        return source.mark
    return hashlib.sha256(image_state(source).encode()).hexdigest()[:12]


def with_files(study: Study, folder: Path) -> Study:
    """Return a study each of whose images is one file, made in a folder where it is none."""
    if not any(map(_is_made, study.images.values())):
        return study
    return replace(study, images=FetchedImages(study.images, folder))


def only(study: Study, sequences: tuple[Sequence, ...]) -> Study:
    """Return the study with these of its sequences, none of which is fetched for that."""
    images = study.images
    if isinstance(images, FetchedImages):
        return replace(study, images=images.only(sequences))
    return study.only(sequences)


def as_found(study: Study) -> Study:
    """Return the study with its DICOM series, and its own files, in place of those made from them."""
    images = study.images
    return replace(study, images=images.sources) if isinstance(images, FetchedImages) else study


def is_dicom(study: Study) -> bool:
    """Tell whether a study's images are DICOM series."""
    return any(isinstance(image, DicomImage) for image in as_found(study).images.values())


def fetch(study: Study, sequences: Iterable[Sequence]) -> None:
    """Make the files of the sequences that a study has; raises `BrainMVPError` naming the series that cannot be."""
    for sequence in sequences:
        if sequence in study.images:
            _ = study.images[sequence]


def place_of(study: Study, sequence: Sequence) -> Path:
    """Return where a study's image lies, or will lie once somebody asks for it."""
    images = study.images
    return images.place(sequence) if isinstance(images, FetchedImages) else images[sequence]


def made_of(study: Study, sequences: Iterable[Sequence]) -> list[Path]:
    """Return where the files lie, or will, that are made of a study's images."""
    found = as_found(study).images
    return [place for sequence in sequences if (place := place_of(study, sequence)) != found[sequence]]
