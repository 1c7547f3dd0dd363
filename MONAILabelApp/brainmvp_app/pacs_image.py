"""A series that lies in an archive: known by its headers, fetched when it is read, never kept as DICOM here."""

import os
import tempfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from brainmvp.dicom.series import DicomImage, Plane
from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume
from brainmvp_app.pacs import ArchiveError, Pacs


@dataclass(frozen=True)
class ArchivedImage(DicomImage):
    """One volume of a series in an archive; the paths of its planes mean nothing."""

    pacs: Pacs = field(kw_only=True, compare=False)

    @classmethod
    def known(cls, image: DicomImage, pacs: Pacs) -> "ArchivedImage":
        """Return the image whose slices' headers came from the archive."""
        return cls(**{one.name: getattr(image, one.name) for one in fields(DicomImage)}, pacs=pacs)

    def read(self) -> Volume:
        """Fetch the series and return its voxels; raises `BrainMVPError` if one is missing or cannot be decoded."""
        files = {d.get("SOPInstanceUID"): d for d in self._retrieved()}
        wanted = list(dict.fromkeys(plane.uid for plane in self.planes))
        if absent := [uid for uid in wanted if uid not in files]:
            raise BrainMVPError(
                f"The archive sent {len(wanted) - len(absent)} of {len(wanted)} files of {self.name}; "
                "send the series to the archive again."
            )
        with tempfile.TemporaryDirectory(prefix="brainmvp-series-") as folder:
            paths = {}
            for number, uid in enumerate(wanted, start=1):
                paths[uid] = Path(folder) / f"{number:05d}.dcm"
                files[uid].save_as(paths[uid], write_like_original=False)
            planes = tuple(replace(plane, path=paths[plane.uid]) for plane in self.planes)
            try:
                volume = DicomImage(planes, self.shape, self.affine, self.facts).read()
            except BrainMVPError as error:
                said = str(error).replace(f"{folder}{os.sep}", "file ")
                raise BrainMVPError(f"{self.name}: {said}") from error
        return replace(volume, path=Path(self.name))

    def headers(self) -> list[Dataset]:
        """Return the headers of its files from the archive, in the order of its slices."""
        found = {d.get("SOPInstanceUID"): d for d in self.pacs.headers(*self._uids)}
        try:
            return [found[uid] for uid in dict.fromkeys(plane.uid for plane in self.planes)]
        except KeyError as error:
            raise BrainMVPError(
                f"{self.name} has changed in the archive; segment the study again."
            ) from error

    @property
    def _uids(self) -> tuple[str, str]:
        return self.facts["StudyInstanceUID"], self.series_uid

    def _retrieved(self) -> list[Dataset]:
        try:
            return self.pacs.retrieve(*self._uids)
        except ArchiveError as error:
            raise type(error)(f"{self.name} could not be fetched: {error}") from error

    def as_json(self) -> dict[str, Any]:
        """Return what is known of the image as JSON-ready values."""
        return {
            "planes": [[plane.uid, plane.frame] for plane in self.planes],
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "facts": self.facts,
            "flaws": list(self.flaws),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], pacs: Pacs) -> "ArchivedImage":
        """Return the image of `as_json`."""
        planes = tuple(Plane(Path(), frame, uid) for uid, frame in values["planes"])
        remarks = tuple(values["flaws"]), tuple(values["notes"])
        affine = np.array(values["affine"])
        return cls(planes, tuple(values["shape"]), affine, values["facts"], *remarks, pacs=pacs)
