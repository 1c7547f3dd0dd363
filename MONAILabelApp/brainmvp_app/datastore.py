"""The datastore of the app: studies, their images and their labels."""

import filecmp
import os
import shutil
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from monailabel.datastore.local import DataModel, ImageLabelModel
from monailabel.interfaces.datastore import DefaultLabelTag

from brainmvp.annotation.cases import LABEL_SUFFIXES, task_of
from brainmvp.files import atomically
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp_app.catalogue import reference_of
from brainmvp_app.dataset_zip import pack_images, pack_labels
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_sequences, check_tag
from brainmvp_app.images import ImageStore
from brainmvp_app.incoming import check_label, image_suffix
from brainmvp_app.info import client_info
from brainmvp_app.label_versions import LabelVersions
from brainmvp_app.temporary import written
from brainmvp_app.turns import in_turn

# A label that its annotator has not finished: it never trains, and its study is not done.
DRAFT = "draft"


class StudyDatastore(ImageStore):
    """The studies below a folder with their labels, one for each tag such as `final`.

    A label lies on the reference's grid. One that was begun when the study had fewer sequences, or that is of another
    task than the study's own, lies on another's.
    """

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Store a label of a study and return its id.

        The file is kept as it came. It is refused, and nothing changes, unless it lies on one of the study's `grids`
        and holds only the values of the task (`task_of_label`). Another label that was there is kept as a version; a
        final label also puts the draft away as one. `label_info["sequences"]` may name those that it was drawn with.
        """
        tag, path = check_tag(label_tag), Path(label_filename)
        study = self.study(image_id)
        info = client_info(label_info)
        task = self.task_of_label(study, info)
        info["task"] = task.name
        stated = label_info.get("sequences")
        had = () if stated is None else check_sequences(stated)
        drawn_with = check_label(path, study, self.grids(study, task), task, had)
        info["sequences"] = [str(sequence) for sequence in drawn_with]
        suffix = image_suffix(path.name)
        folder = Path(self._datastore.label_path(tag))
        with self.turns.take():
            study = self.study(study.id)  # it may have been removed meanwhile
            info["replaced"] = self.replaced_by(study.id, tag, path, _annotator(info))
            stored = folder / f"{study.id}{suffix}"
            earlier = [folder / f"{study.id}{other}" for other in LABEL_SUFFIXES]
            for other in filter(Path.is_file, earlier):
                if other != stored or not filecmp.cmp(other, path, shallow=False):
                    self._keep(study.id, tag, other)
            atomically(stored, lambda temporary: shutil.copyfile(path, temporary), durable=True)
            for other in earlier:
                if other != stored:
                    other.unlink(missing_ok=True)
            if tag == DefaultLabelTag.FINAL.value:
                self._put_away(study.id, DRAFT)
            entry = DataModel(
                info=info | {"ts": int(stored.stat().st_mtime), "name": stored.name}, ext=suffix
            )
            objects = self._datastore.objects
            objects.setdefault(study.id, ImageLabelModel(image=DataModel())).labels[tag] = entry
            self._keep_ids()
            self._update_datastore_file()
        return study.id

    def hand_on(self, study_id: str, label: Path, tag: str, notes: dict[str, Any]) -> None:
        """Send a label that is stored to where the study came from: here it is there already."""

    def _keep(self, study_id: str, tag: str, file: Path) -> None:
        self.label_versions.keep(file, tag, study_id, dict(self._noted_of(study_id, tag)))

    def _put_away(self, study_id: str, tag: str) -> None:
        path = self.get_label_uri(study_id, tag)
        if path:
            self._keep(study_id, tag, Path(path))
            Path(path).unlink(missing_ok=True)
            self._datastore.objects[study_id].labels.pop(tag, None)

    @property
    def label_versions(self) -> LabelVersions:
        """The labels that others replaced."""
        return LabelVersions(self.root)

    def grids(self, study: Study, task: Task) -> list[Sequence]:
        """Return the sequences on whose grids a label of a task may lie: the reference, then those that teach, too."""
        others = (sequence for sequence in task.reference if sequence in study.images)
        return list(dict.fromkeys([reference_of(study, self.tasks), *others]))

    def check_lies_on_reference(self, image_id: str) -> None:
        """Raise `RefusedError` (409) if a new label would not lie on the reference's grid."""
        study, sequence = self.find(image_id)
        reference = reference_of(study, self.tasks)
        if sequence is not reference:
            raise RefusedError(
                409, f"Labels of {study.id} lie on its {reference}; save_label needs image={study.id}."
            )

    def task_of_label(self, study: Study, info: dict[str, Any]) -> Task:
        """Return the task that a label's notes name, else that of the model that they say proposed it.

        Without either it is the study's own. Raises `RefusedError` (422) if there is none.
        """
        known = {task.name: task for task in self.tasks}
        named, model = info.get("task"), str(info.get("model") or "").partition("@")[0]
        task = known.get(str(named)) if named else known.get(model) or task_of(study, self.tasks)
        if task is None:
            names = ", ".join(task.name for task in self.tasks)
            raise RefusedError(
                422, f"No task is known for the label of {study.id}; name one of {names} in params."
            )
        return task

    @in_turn
    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label, kept as a version; raises `RefusedError` (404) if there is none."""
        study_id = self.study(label_id).id
        if not self.get_label_uri(study_id, label_tag):
            raise RefusedError(404, f"{label_id} has no label {label_tag!r}.")
        self._put_away(study_id, label_tag)
        self._reconcile_datastore()

    @in_turn
    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Return what is noted about a label, with its earlier versions; raises `RefusedError` (404) if absent."""
        if not self.get_label_uri(self.study(label_id).id, label_tag):
            raise RefusedError(404, f"{label_id} has no label {label_tag!r}.")
        info = super().get_label_info(label_id, label_tag)
        return info | {"versions": self.label_versions.listed(label_tag, self.study(label_id).id)}

    def drawn_by(self, image_id: str, tag: str) -> str:
        """Return who drew a label; empty if there is none, or nobody is named."""
        return _annotator(self._noted_of(image_id, tag))

    @in_turn
    def replaced_by(self, image_id: str, tag: str, label: Path, annotator: str) -> list[str]:
        """Return who else drew what an annotator's label takes, or took, the place of.

        A final label also puts the draft away. One that comes again, from a client that got no answer, is in the place
        of the same.
        """
        tags = (tag, DRAFT) if tag == DefaultLabelTag.FINAL.value else (tag,)
        others = {self.drawn_by(image_id, each) for each in tags}
        stored = self.get_label_uri(self.study(image_id).id, tag)
        same = self.drawn_by(image_id, tag) == annotator
        if stored and same and filecmp.cmp(stored, label, shallow=False):
            others.update(self._noted_of(image_id, tag).get("replaced", ()))
        return sorted(others - {annotator, ""})

    def drawn_with(self, image_id: str, tag: str) -> list[str] | None:
        """Return the sequences that a study's label was drawn with; None if that was not noted."""
        return self._noted_of(image_id, tag).get("sequences")

    @in_turn
    def _noted_of(self, image_id: str, tag: str) -> dict[str, Any]:
        entry = self._datastore.objects.get(self.study(image_id).id)
        noted = entry.labels.get(tag) if entry else None
        return noted.info if noted else {}

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to what is noted about a label."""
        noted = client_info(info)
        with self.turns.take():
            super().update_label_info(label_id, label_tag, noted)

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Return the finally labelled studies: id, reference image, label, and all sequences."""
        with self.turns.take():  # not while images are fetched
            chosen = [
                (self.study(study_id), self.get_label_uri(study_id, DefaultLabelTag.FINAL))
                for study_id in self.get_labeled_images()
            ]

        def shown(path: Path | str) -> str:
            return str(path) if full_path else os.path.relpath(path, self.root)

        return [
            {
                "id": study.id,
                "image": shown(study.images[reference_of(study, self.tasks)]),
                "label": shown(label),
                "sequences": {str(s): shown(path) for s, path in study.images.items()},
            }
            for study, label in chosen
        ]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Return a temporary ZIP file of the studies with all their labels, labelled ones first.

        It holds the labels as they are when it is asked for, though others come before all images are packed. The
        caller removes it.
        """
        if limit_cases is not None and limit_cases < 1:
            raise RefusedError(400, "limit_cases counts studies; give 1 or more.")

        def write(file: Path) -> None:
            # A file from before 1980, or without a date, gets the first that ZIP knows.
            with ZipFile(file, "w", strict_timestamps=False) as packed:
                with self.turns.take():
                    studies = self._pack_labels(packed, limit_cases)
                pack_images(packed, studies)  # minutes: not while others wait

        return str(written("brainmvp-dataset-", ".zip", write))

    def _pack_labels(self, packed: ZipFile, limit_cases: int | None) -> list[Study]:
        chosen = [*self.get_labeled_images(), *self.get_unlabeled_images()][:limit_cases]
        if not chosen:
            raise RefusedError(404, "There is no study to put into an archive.")
        labels = {
            (tag, study_id): Path(self.get_label_uri(study_id, tag))
            for study_id in chosen
            for tag in self.get_labels_by_image_id(study_id)
        }
        pack_labels(packed, labels, self._datastore.model_dump_json(exclude={"base_path"}))
        return [self.study(study_id) for study_id in chosen]


def _annotator(info: dict[str, Any]) -> str:
    return str(info.get("annotator") or "").strip()
