"""All studies and labels as one ZIP file."""

from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

from brainmvp.study import Study
from brainmvp_app.incoming import image_suffix


def pack_labels(packed: ZipFile, labels: dict[tuple[str, str], Path], metadata: str) -> None:
    """Put label files, by tag and study id, into a ZIP file as `labels/TAG/FILE`, with `metadata.json`."""
    for (tag, _), path in labels.items():
        packed.write(path, f"labels/{tag}/{path.name}")
    packed.writestr("metadata.json", metadata)


def pack_images(packed: ZipFile, studies: Iterable[Study]) -> None:
    """Put the images of studies into a ZIP file as they are: nearly all are compressed.

    Each is named by its sequence, `images/ID/t1ce.nii.gz`: what its own file is called may say nothing.
    """
    for study in studies:
        for sequence, path in study.images.items():
            packed.write(path, f"images/{study.id}/{sequence.lower()}{image_suffix(path.name)}")
