"""The images of the studies: fetching, adding and removing sequences."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from brainmvp.annotation.cases import task_of
from brainmvp.files import HIDDEN, atomically
from brainmvp.finetune.prepared import remove_study
from brainmvp.sequences import Sequence, sequence_of
from brainmvp.study import OVERRIDE, Study, image_files
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import as_found, is_dicom, made_of, place_of
from brainmvp_app.ids import check_new_study
from brainmvp_app.incoming import image_suffix, read_upload
from brainmvp_app.index import StudyIndex
from brainmvp_app.info import client_info, sequences_info
from brainmvp_app.label_versions import LabelVersions
from brainmvp_app.turns import in_turn


class ImageStore(StudyIndex):
    """The images of the studies below a folder: `ID` is a study's reference sequence, `ID@FLAIR` its FLAIR."""

    def get_image_uri(self, image_id: str) -> str:
        """Return the path of an image's file, or an empty text if there is no such image."""
        try:
            study, sequence = self.find(image_id)
        except RefusedError:
            return ""
        return str(study.images[sequence])

    @in_turn
    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Return what a client needs to fetch and show a study: its sequences, reference, task, labels' grid."""
        study, sequence = self.find(image_id)
        sequences = sequences_info(study)
        task = task_of(study, self.tasks)
        return super().get_image_info(study.id) | {
            "path": str(place_of(study, sequence)),
            "name": sequences[str(sequence)]["name"],
            "reference": str(sequence),
            "sequences": sequences,
            "series": [entry.as_json() for entry in study.series],
            "task": task.name if task else None,
        }

    @in_turn
    def copies(self) -> set[str]:
        """Return the studies that are changed copies of another one that is here, and so no further patient's."""
        here = self.catalogue.studies
        noted = {study: entry.image.info.get("copy_of") for study, entry in self._in_sight().items()}
        return {s for s, other in noted.items() if isinstance(other, str) and other in here and other != s}

    @in_turn
    def status(self) -> dict[str, Any]:
        """Return the counts, see `StudyIndex.status`; copies that nobody has labelled are no studies to label."""
        status, waiting = super().status(), self.copies().intersection(self.get_unlabeled_images())
        return status | {"total": status["total"] - len(waiting)}

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Store one sequence of a study, new or not, and return the study's id.

        The sequence is `image_info["sequence"]`, or else what the file's name says; `image_info["copy_of"]` may name
        the study of which this one is a changed copy. Sending the same file again changes nothing; a different one for
        a sequence that is there is refused (409).
        """
        study_id, path = image_id, Path(image_filename)
        if study_id not in self.list_images():
            check_new_study(study_id)
        sequence = _stated_sequence(image_info.get("sequence"), path.name)
        info = client_info(image_info)
        read_upload(path)
        with self.turns.take():
            known = self.catalogue.studies.get(study_id)
            if known:
                _refuse_dicom(known)
            if known and sequence in known.images:
                if known.images[sequence].read_bytes() != path.read_bytes():
                    raise RefusedError(
                        409, f"{study_id} has another {sequence} already; remove that one first."
                    )
                return study_id
            folder = self._folder_to_add_to(study_id, known)
            # The file is named by the sequence alone: words of the study's name could be taken for another sequence.
            stored = folder / f"{sequence.lower()}{image_suffix(path.name)}"
            atomically(stored, lambda temporary: shutil.copyfile(path, temporary))
            self._reconcile_datastore()
            self._datastore.objects[study_id].image.info.update(info)
            self._update_datastore_file()
        return study_id

    def _folder_to_add_to(self, study_id: str, known: Study | None) -> Path:
        folder = known.folder if known else self.root / study_id
        if not known and folder.exists() and image_files(folder):
            problem = self.catalogue.problems.get(study_id, "its images cannot be used")
            raise RefusedError(409, f"Nothing can be added to {study_id}: {problem}")
        if not known and any(folder in study.folder.parents for study in self.catalogue.studies.values()):
            raise RefusedError(409, f"{study_id} is a folder of studies; give the new one another name.")
        if (folder / OVERRIDE).exists():
            raise RefusedError(
                409, f"The sequences of {study_id} are fixed by its {OVERRIDE}; add the file there."
            )
        if self.root in (study.folder for study in self.catalogue.studies.values()) and not known:
            raise RefusedError(
                409, "The server was started on a single study; start it on the folder above to add."
            )
        return folder

    @in_turn
    def remove_image(self, image_id: str) -> None:
        """Remove a study with its labels, or with `ID@SEQUENCE` one sequence; other files in its folder stay."""
        study, sequence = self.find(image_id)
        _refuse_dicom(study)
        files, made = image_files(study.folder), made_of(study, study.images)
        if image_id != study.id and len(study.images) > 1:
            if (study.folder / OVERRIDE).exists():
                raise RefusedError(
                    409, f"The sequences of {study.id} are fixed by its {OVERRIDE}; edit that file."
                )
            files, made = [as_found(study).images[sequence]], made_of(study, [sequence])
        else:
            for tag in self.get_labels_by_image_id(study.id):
                Path(self.get_label_uri(study.id, tag)).unlink(missing_ok=True)
            LabelVersions(self.root).remove(study.id)
            del self._datastore.objects[study.id]
            self._update_datastore_file()
            (study.folder / OVERRIDE).unlink(missing_ok=True)
        remove_study(study.id, self.root / HIDDEN / "prepared")
        for path in (*files, *made):
            path.unlink(missing_ok=True)
        folders = {path.parent for path in (*files, *made)}
        for folder in sorted({*folders, study.folder}, reverse=True):
            with suppress(OSError):  # other files are left in it
                folder.rmdir()
        self._reconcile_datastore()

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add to what is noted about a study."""
        noted = client_info(info)
        with self.turns.take():
            super().update_image_info(self.study(image_id).id, noted)


def _refuse_dicom(study: Study) -> None:
    if is_dicom(study):
        raise RefusedError(
            409, f"{study.id} is a DICOM study; add and remove its series where they are kept."
        )


def _stated_sequence(stated: object, filename: str) -> Sequence:
    if stated is None:
        sequence = sequence_of(filename)
        if sequence is None:
            raise RefusedError(
                400, f"The sequence of {filename} cannot be told by its name; add params such as "
                '{"sequence": "FLAIR"}.'
            )  # fmt: skip
        return sequence
    try:
        return Sequence(stated)
    except ValueError as error:
        raise RefusedError(400, f"{stated!r} is not a sequence; use {', '.join(Sequence)}.") from error
