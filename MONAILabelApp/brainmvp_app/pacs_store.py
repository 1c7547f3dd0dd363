"""The datastore over an archive: its studies with labels kept here, final ones sent back as DICOM SEG."""

import hashlib
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from monailabel.config import settings
from monailabel.interfaces.datastore import DefaultLabelTag

from brainmvp.annotation.cases import noted_sequences
from brainmvp.dicom.seg import write_dicom_seg
from brainmvp.errors import BrainMVPError
from brainmvp.home import home
from brainmvp.segnrrd import read_by_name
from brainmvp.sequences import Sequence
from brainmvp.tasks import Task
from brainmvp.volume import read_volume
from brainmvp_app.datastore import StudyDatastore
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import as_found
from brainmvp_app.incoming import lies_on
from brainmvp_app.info import client_info
from brainmvp_app.pacs import ArchiveError, Pacs
from brainmvp_app.pacs_catalogue import PacsCatalogue


def open_archive(address: str) -> Pacs:
    """Return the archive at an address, with MONAI Label's settings for user and password."""
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    return Pacs(address, user or "", password or "")


def archive_folder(address: str) -> Path:
    """Return the folder of this computer that holds the labels of an archive's studies and their fetched images."""
    return home() / "archives" / Pacs(address).mark


class PacsDatastore(StudyDatastore):
    """The brain studies of an archive."""

    def __init__(self, address: str, tasks: tuple[Task, ...]) -> None:
        self._pacs = open_archive(address)
        folder = archive_folder(address)
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # some network shares refuse
            folder.chmod(0o700)  # patients' images, and their faces: not for every account of this computer
        super().__init__(str(folder), tasks, PacsCatalogue(folder, self._pacs))

    def hand_on(self, study_id: str, label: Path, tag: str, notes: dict[str, Any]) -> None:
        """Send a final label to the archive as DICOM SEG; the notes may name the `model` whose draft it was.

        Raises `RefusedError` if the archive does not get it: 502 if it may another time, else 409.
        """
        if tag != DefaultLabelTag.FINAL.value:
            return
        try:
            self._send(study_id, label, client_info(notes))
        except BrainMVPError as error:
            raise RefusedError(
                502 if isinstance(error, ArchiveError) else 409,
                f"The label of {study_id} is stored on this server, but not in the archive: {error}",
            ) from error

    def _send(self, study_id: str, label: Path, info: dict[str, Any]) -> None:
        study = self.study(study_id)
        task = self.task_of_label(study, info)
        volume = read_volume(label)
        volume.data[...] = read_by_name(volume, task, label.name)
        image = as_found(study).images[lies_on(volume, label.name, study, self.grids(study, task))]
        source = hashlib.sha256(label.read_bytes()).hexdigest()  # a label that comes again is kept once
        with tempfile.TemporaryDirectory(prefix="brainmvp-seg-") as folder:
            model = str(info["model"]) if info.get("model") else None
            path = Path(folder) / "seg.dcm"
            seen = self.drawn_with(study_id, DefaultLabelTag.FINAL.value)
            names = names_of(task, noted_sequences(seen) or set(study.images), volume.data)
            seg = write_dicom_seg(
                volume, image, task, path, names, model=model, corrected=True, source=source
            )
            self._pacs.store(seg)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> NoReturn:
        """Refuse: the studies are the archive's."""
        raise RefusedError(409, "The studies come from an archive; send new images there.")

    def remove_image(self, image_id: str) -> NoReturn:
        """Refuse: the studies are the archive's."""
        raise RefusedError(409, "The studies come from an archive; remove them there.")


def names_of(task: Task, seen: Collection[Sequence], labels: np.ndarray) -> dict[int, str] | None:
    """Return what the values of a label mean; None (all as the task has them) where a reader drew more.

    Without T1CE oedema stands for the whole tumour, unless its core was drawn by hand. seen: the sequences that the
    label was drawn with.
    """
    offered, _ = task.offered(set(seen))
    names = task.label_names([region.name for region in offered])
    drawn = set(np.unique(labels).tolist()) - {0}
    return names if drawn <= set(names) else None
