"""MONAI Label's local datastore with one image id per study instead of one per file."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from pydantic import ValidationError

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence, sequence_of
from brainmvp.study import Study, image_files
from brainmvp.tasks import Task
from brainmvp.volume import atomically
from brainmvp_app.archive import write_archive
from brainmvp_app.catalogue import Catalogue, reference_of, task_of
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_new_study, check_tag, split_image_id
from brainmvp_app.incoming import check_label, image_suffix, read_upload
from brainmvp_app.info import client_info, sequences_info
from brainmvp_app.turns import Turns, in_turn

_OVERRIDE = "study.json"
_NOTES = Path(".brainmvp", "datastore_v2.json")


class StudyDatastore(LocalDatastore):
    """The studies below a folder.

    The id of a study is its folder's name; the file behind it is that of its reference sequence, on whose grid its
    labels lie. `ID@FLAIR` is the file of one sequence: never listed, named in the study's info under `sequences`.
    Labels lie where the stock datastore has them, `labels/TAG/ID.nii.gz`; the notes about studies and labels, which
    change with every proposal, lie in a hidden folder, so that writing them does not look like a change of studies.
    """

    def __init__(self, folder: str, tasks: tuple[Task, ...]) -> None:
        self.tasks = tasks
        self.root = Path(folder).resolve()
        self.catalogue = Catalogue(self.root)
        self.turns = Turns(self._follow_disk)
        notes = self.root / _NOTES
        notes.parent.mkdir(exist_ok=True)
        extensions = [f"*{suffix}" for suffix in IMAGE_SUFFIXES]
        try:
            super().__init__(str(self.root), datastore_config=str(_NOTES), extensions=extensions)
        except ValidationError as error:
            raise BrainMVPError(
                f"{notes} is damaged; move it away to start with the labels that are on disk."
            ) from error

    def study(self, name: str) -> Study:
        """Return the study of an id (`ID` or `ID@SEQUENCE`); raises `RefusedError` (404) if there is none."""
        return self.find(name)[0]

    @in_turn
    def find(self, name: str) -> tuple[Study, Sequence]:
        """Return the study of an id and the sequence that the id stands for; raises `RefusedError` (404)."""
        if study := self.catalogue.studies.get(name):
            return study, reference_of(study, self.tasks)
        study_id, sequence = split_image_id(name)
        study = self.catalogue.studies.get(study_id) if sequence else None
        if study is None:
            raise RefusedError(404, f"There is no study {name!r}; GET /datastore/?output=all lists them.")
        if sequence not in study.images:
            raise RefusedError(404, f"{study.id} has no {sequence}; it has {', '.join(study.images)}.")
        return study, Sequence(sequence)

    # What a study is to the parts of the stock datastore that stay as they are

    def _follow_disk(self) -> None:
        if self.catalogue.changed():
            self._reconcile_datastore()

    def _reconcile_datastore(self) -> None:
        self.catalogue.scan()
        super()._reconcile_datastore()

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        if path == self._datastore.image_path():
            return {study_id: study_id for study_id in self.catalogue.studies}
        return super()._list_files(path, patterns)

    def _to_id(self, file: str) -> tuple[str, str]:
        if file in self.catalogue.studies:
            return file, ""
        suffix = image_suffix(file)
        return file[: len(file) - len(suffix)], suffix

    def _filename(self, id: str, ext: str) -> str:
        study = None if ext else self.catalogue.studies.get(id)
        return os.path.relpath(study.folder, self.root) if study else id + ext

    def _update_datastore_file(self, lock: bool = True) -> None:
        content = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        path = Path(self._datastore_config_path)
        with FileLock(self._lock_file) if lock else nullcontext():
            atomically(path, lambda temporary: temporary.write_text(content, "utf-8"))
            self._config_ts = path.stat().st_mtime

    # Images

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
        path = study.images[sequence]
        task = task_of(study, self.tasks)
        return super().get_image_info(study.id) | {
            "path": str(path),
            "name": f"{study.id}_{sequence.lower()}{image_suffix(path.name)}",
            "reference": str(sequence),
            "sequences": sequences_info(study),
            "task": task.name if task else None,
        }

    @in_turn
    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Return the finally labelled studies: id, reference image, label, and all sequences."""

        def shown(path: Path | str) -> str:
            return str(path) if full_path else os.path.relpath(path, self.root)

        return [
            {
                "id": study_id,
                "image": shown(self.get_image_uri(study_id)),
                "label": shown(self.get_label_uri(study_id, DefaultLabelTag.FINAL)),
                "sequences": {str(s): shown(path) for s, path in self.study(study_id).images.items()},
            }
            for study_id in self.get_labeled_images()
        ]

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Store one sequence of a study, new or not, and return the study's id.

        The sequence is `image_info["sequence"]`, or else what the file's name says. Sending the same file again
        changes nothing; a different one for a sequence that is there is refused (409).
        """
        study_id, path = check_new_study(image_id), Path(image_filename)
        sequence = _stated_sequence(image_info.get("sequence"), path.name)
        info = client_info(image_info)
        read_upload(path)
        with self.turns.take():
            known = self.catalogue.studies.get(study_id)
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
        if (folder / _OVERRIDE).exists():
            raise RefusedError(
                409, f"The sequences of {study_id} are fixed by its {_OVERRIDE}; add the file there."
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
        files = image_files(study.folder)
        if image_id != study.id and len(study.images) > 1:
            if (study.folder / _OVERRIDE).exists():
                raise RefusedError(
                    409, f"The sequences of {study.id} are fixed by its {_OVERRIDE}; edit that file."
                )
            files = [study.images[sequence]]
        else:
            for tag in self.get_labels_by_image_id(study.id):
                Path(self.get_label_uri(study.id, tag)).unlink(missing_ok=True)
            (study.folder / _OVERRIDE).unlink(missing_ok=True)
        for path in files:
            path.unlink()
        for folder in sorted({*(path.parent for path in files), study.folder}, reverse=True):
            with suppress(OSError):  # other files are left in it
                folder.rmdir()
        self._reconcile_datastore()

    @in_turn
    def notes(self, study_id: str) -> dict[str, Any]:
        """Return only what was noted about a study, without looking at its files."""
        entry = self._datastore.objects.get(study_id)
        return dict(entry.image.info) if entry else {}

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add to what is noted about a study."""
        noted = client_info(info)
        with self.turns.take():
            super().update_image_info(self.study(image_id).id, noted)

    # Labels

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Store a label of a study and return its id.

        The file is kept as it came. It is refused, and nothing changes, unless it lies on the grid of the study's
        reference and holds only the values of the task: `label_info["task"]`, else the study's own.
        """
        tag, path = check_tag(label_tag), Path(label_filename)
        study = self.study(image_id)
        info = client_info(label_info)
        check_label(path, study.images[reference_of(study, self.tasks)], self._task_of_label(study, info))
        suffix = image_suffix(path.name)
        folder = Path(self._datastore.label_path(tag))
        with self.turns.take():
            study = self.study(study.id)  # it may have been removed meanwhile
            stored = folder / f"{study.id}{suffix}"
            atomically(stored, lambda temporary: shutil.copyfile(path, temporary))
            for other in (".seg.nrrd", *IMAGE_SUFFIXES):
                if other != suffix:
                    (folder / f"{study.id}{other}").unlink(missing_ok=True)
            entry = DataModel(
                info=info | {"ts": int(stored.stat().st_mtime), "name": stored.name}, ext=suffix
            )
            objects = self._datastore.objects
            objects.setdefault(study.id, ImageLabelModel(image=DataModel())).labels[tag] = entry
            self._update_datastore_file()
        return study.id

    def _task_of_label(self, study: Study, info: dict[str, Any]) -> Task:
        named = info.get("task")
        task = next((t for t in self.tasks if t.name == named), None) if named else task_of(study, self.tasks)
        if task is None:
            names = ", ".join(task.name for task in self.tasks)
            raise RefusedError(
                422, f"No task is known for the label of {study.id}; name one of {names} in params."
            )
        return task

    @in_turn
    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label; raises `RefusedError` (404) if there is none."""
        path = self.get_label_uri(self.study(label_id).id, label_tag)
        if not path:
            raise RefusedError(404, f"{label_id} has no label {label_tag!r}.")
        Path(path).unlink(missing_ok=True)
        self._reconcile_datastore()

    @in_turn
    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Return what is noted about a label; raises `RefusedError` (404) if there is none."""
        if not self.get_label_uri(self.study(label_id).id, label_tag):
            raise RefusedError(404, f"{label_id} has no label {label_tag!r}.")
        return super().get_label_info(label_id, label_tag)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to what is noted about a label."""
        noted = client_info(info)
        with self.turns.take():
            super().update_label_info(label_id, label_tag, noted)

    # The whole

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Return the path of a temporary ZIP file of the studies with all their labels, labelled ones first."""
        if limit_cases is not None and limit_cases < 1:
            raise RefusedError(400, "limit_cases counts studies; give 1 or more.")
        with self.turns.take():
            chosen = [*self.get_labeled_images(), *self.get_unlabeled_images()][:limit_cases]
            if not chosen:
                raise RefusedError(404, "There is no study to put into an archive.")
            labels = {
                (tag, study_id): Path(self.get_label_uri(study_id, tag))
                for study_id in chosen
                for tag in self.get_labels_by_image_id(study_id)
            }
            metadata = self._datastore.model_dump_json(exclude={"base_path"})
            studies = [self.study(study_id) for study_id in chosen]
        return str(write_archive(studies, labels, metadata))

    @in_turn
    def status(self) -> dict[str, Any]:
        """Return the counts of studies and labels, and why folders that look like studies are none."""
        return super().status() | {"problems": dict(self.catalogue.problems)}

    def refresh(self) -> None:
        """Read the disk again."""
        with self.turns.take():
            self._reconcile_datastore()


def _in_turn(name: str) -> Callable[..., Any]:
    return in_turn(getattr(LocalDatastore, name))


# Every other public method of the stock class, as it is, but one at a time and on the state of the disk.
for _name in (
    "name", "set_name", "description", "set_description", "get_image", "get_label", "get_label_uri", "list_images",
    "get_labels_by_image_id", "get_label_by_image_id", "get_labeled_images", "get_unlabeled_images", "json",
):  # fmt: skip
    setattr(StudyDatastore, _name, _in_turn(_name))


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
