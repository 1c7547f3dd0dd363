"""Studies where MONAI Label's local datastore expects files: one image id per study, kept in step with the disk."""

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore, LocalDatastoreModel
from pydantic import ValidationError

from brainmvp.annotation.cases import LABEL_SUFFIXES
from brainmvp.errors import BrainMVPError
from brainmvp.files import HIDDEN, sweep, write_text
from brainmvp.sequences import IMAGE_SUFFIXES, Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp_app.catalogue import Catalogue, reference_of
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import split_image_id
from brainmvp_app.label_folders import LabelFolders
from brainmvp_app.pacs_catalogue import PacsCatalogue
from brainmvp_app.problems import held_out_sets, missing_patients, outgrown_labels, stray_labels
from brainmvp_app.turns import Turns, in_turn

_FOUND = {"ts", "name"}  # what is noted about a label that lay there
_NOTES = Path(HIDDEN, "datastore_v2.json")


def _of_studies(listed: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """Return a stock method that lists ids, without those of studies that are out of sight."""

    @wraps(listed)
    def list_studies(self: "StudyIndex", *args: Any, **options: Any) -> list[str]:
        return [study for study in listed(self, *args, **options) if study in self.catalogue.studies]

    return list_studies


class StudyIndex(LocalDatastore):
    """The studies below a folder.

    The id of a study is its folder's name; the file behind it is that of its reference sequence, on whose grid its
    labels lie. `ID@FLAIR` is the file of one sequence: never listed, named in the study's info under `sequences`.
    Labels lie where the stock datastore has them, `labels/TAG/ID.nii.gz`; the notes about studies and labels, which
    change with every proposal, lie in a hidden folder, so that writing them does not look like a change of studies.
    """

    def __init__(
        self, folder: str, tasks: tuple[Task, ...], catalogue: Catalogue | PacsCatalogue | None = None
    ) -> None:
        self.tasks = tasks
        self.root = Path(folder).resolve()
        self.catalogue = catalogue or Catalogue(self.root)
        self.turns = Turns(self._follow_disk, self._write_notes)
        self._label_folders = LabelFolders(self.root / "labels")
        self._written: tuple[int, int] | None = None  # what tells the notes as they were last written or read
        notes = self.root / _NOTES
        notes.parent.mkdir(exist_ok=True)
        for folder in (notes.parent, self.root / "labels"):
            sweep(folder)
        extensions = [f"*{suffix}" for suffix in IMAGE_SUFFIXES]
        try:
            super().__init__(str(self.root), datastore_config=str(_NOTES), extensions=extensions)
        except ValidationError as error:
            raise BrainMVPError(
                f"{notes} is damaged; move it away to start with the labels that are on disk."
            ) from error

    @in_turn
    def studies(self) -> list[Study]:
        """Return every study, sorted by id."""
        return list(self.catalogue.studies.values())

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
            raise RefusedError(404, study.lacks([Sequence(sequence)]))
        return study, Sequence(sequence)

    # What a study is to the parts of the stock datastore that stay as they are

    def _follow_disk(self) -> None:
        # An empty mount point has no hidden folder, and no study either: nobody's label is refused for that.
        if not os.path.isdir(self.root / HIDDEN):
            raise RefusedError(
                503, "The folder of the studies cannot be reached; connect its disk or share again."
            )
        noted_by_others = self._take_over()
        if self.catalogue.changed():
            self._reconcile_datastore()
        elif noted_by_others or self._label_folders.changed():
            self._follow_labels()

    def _take_over(self) -> bool:
        """Take over what another process, that of a batch inference, has noted about labels; tell whether one has."""
        path = Path(self._datastore_config_path)
        stamp = _stamp(path)
        if stamp in (None, self._written):
            return False
        self._written = stamp
        with suppress(OSError, ValidationError):
            stored = LocalDatastoreModel.model_validate_json(path.read_text("utf-8"))
            for study_id, entry in self._datastore.objects.items():
                theirs = stored.objects.get(study_id, entry).labels
                for tag, label in theirs.items():
                    if _says_more(label, entry.labels.get(tag)):
                        entry.labels[tag] = label
        return True

    def _reconcile_datastore(self) -> None:
        """Take over what is on the disk: the stock method asks it some dozen questions for every study.

        What is noted about studies that are out of sight is kept: a share that is away comes back.
        """
        self.catalogue.scan()
        objects = self._datastore.objects
        for study_id in self.catalogue.studies:
            if study_id not in objects:
                objects[study_id] = ImageLabelModel(image=_noted(self._filename(study_id, "")))
                self._update_datastore_file()
        self._follow_labels()

    def _follow_labels(self) -> None:
        found = self._label_folders.scan()
        for study_id, entry in self._in_sight().items():
            for tag in [t for t, label in entry.labels.items() if label.ext != _used(found, t, study_id)]:
                del entry.labels[tag]
                self._update_datastore_file()
            for tag in found:
                if tag not in entry.labels and (suffix := _used(found, tag, study_id)):
                    entry.labels[tag] = _noted(study_id + suffix, suffix)
                    self._update_datastore_file()
        self._keep_ids()

    def _keep_ids(self) -> None:
        """Have the studies that have labels keep their ids, by which these are called."""
        if isinstance(self.catalogue, Catalogue):
            self.catalogue.keep_ids(name for name, entry in self._in_sight().items() if entry.labels)

    def _in_sight(self) -> dict[str, ImageLabelModel]:
        return {name: one for name, one in self._datastore.objects.items() if name in self.catalogue.studies}

    def _filename(self, id: str, ext: str) -> str:
        study = None if ext else self.catalogue.studies.get(id)
        return os.path.relpath(study.folder, self.root) if study else id + ext

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Have the notes written before the request that changed them is answered."""
        with self.turns.take():
            self.turns.changed()

    def _write_notes(self) -> None:
        with self.turns.lock:
            self._take_over()
            content = self._datastore.model_dump_json(exclude={"base_path"}, indent=2, fallback=str)
        write_text(Path(self._datastore_config_path), content)
        self._written = _stamp(Path(self._datastore_config_path))

    @in_turn
    def json(self) -> dict[str, Any]:
        """Return what is noted about the studies that are there."""
        notes = self._datastore.model_copy(update={"objects": self._in_sight()})
        return notes.model_dump(exclude={"base_path"})

    @in_turn
    def status(self) -> dict[str, Any]:
        """Return the counts of studies and labels, and why folders are no studies and labels of no or little use."""
        tags = Counter(tag for entry in self._in_sight().values() for tag in entry.labels)
        studies, held_out, lost = self.catalogue.studies, *held_out_sets(self.root, self.tasks)
        stray = self._label_folders.without_study(studies)
        problems = self.catalogue.problems | stray_labels(
            stray, held_out, isinstance(self.catalogue, PacsCatalogue), self._called_now
        )
        problems |= outgrown_labels(studies, self._in_sight(), self.tasks)
        problems |= lost | missing_patients(held_out, studies, self._called_now)
        return super().status() | {"label_tags": dict(tags), "problems": problems}

    def _called_now(self, name: str) -> list[str]:
        """Return the ids of the studies that lie where the study of an id that is gone lay when it was first seen."""
        noted = self._datastore.objects.get(name)
        place = noted and noted.image.info.get("name")
        return [study for study in self.catalogue.studies if place == self._filename(study, "")]

    def refresh(self) -> None:
        """Read the disk again."""
        with self.turns.take():
            self._reconcile_datastore()

    # Every other public method of the stock class as it is, but one at a time and on the state of the disk

    name = in_turn(LocalDatastore.name)
    set_name = in_turn(LocalDatastore.set_name)
    description = in_turn(LocalDatastore.description)
    set_description = in_turn(LocalDatastore.set_description)
    get_image = in_turn(LocalDatastore.get_image)
    get_label = in_turn(LocalDatastore.get_label)
    get_label_uri = in_turn(LocalDatastore.get_label_uri)
    get_labels_by_image_id = in_turn(LocalDatastore.get_labels_by_image_id)
    get_label_by_image_id = in_turn(LocalDatastore.get_label_by_image_id)
    list_images = in_turn(_of_studies(LocalDatastore.list_images))
    get_labeled_images = in_turn(_of_studies(LocalDatastore.get_labeled_images))
    get_unlabeled_images = in_turn(_of_studies(LocalDatastore.get_unlabeled_images))


def _stamp(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_ino
    return None


def _says_more(label: DataModel, known: DataModel | None) -> bool:
    """Tell whether notes about a label are to be taken for those that are known: newer ones, or of one only found."""
    if known is None:
        return True
    if not label.info.keys() - _FOUND:
        return False
    if not known.info.keys() - _FOUND:
        return True
    return label.info.get("ts", 0) > known.info.get("ts", 0)


def _noted(name: str, suffix: str = "") -> DataModel:
    return DataModel(info={"ts": int(time.time()), "name": name}, ext=suffix)


def _used(found: dict[str, dict[str, set[str]]], tag: str, study_id: str) -> str | None:
    """Return the ending of the file of a label that counts, as for a training, where others put several."""
    suffixes = found.get(tag, {}).get(study_id, set())
    return next((suffix for suffix in LABEL_SUFFIXES if suffix in suffixes), None)
