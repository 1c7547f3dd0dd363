"""The studies in the folder, kept in step with the disk."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from brainmvp.annotation.cases import task_of
from brainmvp.files import HIDDEN, readable
from brainmvp.folders import folders_to_enter
from brainmvp.given_ids import GivenIds
from brainmvp.sequences import Sequence
from brainmvp.study import NOT_STUDIES, OVERRIDE, Study, find_studies
from brainmvp.tasks import Task
from brainmvp_app.fetched import with_files

# A label's file is named by its study, and a name may have 255 bytes; so are the files that clients make.
_LONGEST_NAME = 240


class Catalogue:
    """Every study at or below a folder, by id; `problems` says, by folder, why another folder is not one.

    The disk is asked at every use whether a folder or a `study.json` changed, one question each: watching for events
    misses network shares, and MONAI Label's own watcher sees only files at the top.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.studies: dict[str, Study] = {}
        self.problems: dict[str, str] = {}
        self._times: dict[str, int] = {}  # when each last changed; a new one changes the folder above

    def changed(self) -> bool:
        """Tell whether the disk is no longer as `scan` found it."""
        return not self._times or any(changed_at(folder) != time for folder, time in self._times.items())

    def scan(self) -> None:
        """Read the folder again; raises `BrainMVPError` if it cannot be reached, and stays as it was."""
        times = dict(self._what_changes())
        problems: dict[str, str] = {}

        def note(folder: Path, error: object) -> None:
            problems[readable(os.path.relpath(folder, self.root))] = readable(str(error))

        studies = find_studies(self.root, on_error=note)
        made = self.root / HIDDEN / "images"
        self.studies = {}
        for study in studies:
            if strange := next((path for path in _paths(study) if str(path) != readable(str(path))), None):
                note(study.folder, f"the name {strange.name!a} is in an old encoding; rename it.")
            elif len(study.id.encode()) > _LONGEST_NAME:
                note(study.folder, f"its name is too long for files; use at most {_LONGEST_NAME} bytes.")
            else:
                self.studies[study.id] = with_files(study, made / study.id)
        self.problems = problems
        self._times = times  # not before: a folder that is away for a while is looked at again

    def keep_ids(self, labelled: Iterable[str]) -> None:
        """Have some studies keep their ids: one without a label may still be arriving, its folder not yet known."""
        GivenIds(self.root).keep(self.studies[name] for name in labelled)

    def _what_changes(self) -> Iterator[tuple[str, int]]:
        for folder, below, files in os.walk(self.root, followlinks=True):
            below[:] = folders_to_enter(folder, below, skip=NOT_STUDIES)
            yield folder, changed_at(folder)
            if OVERRIDE in files:  # an editor may write into it, which does not change the folder
                table = os.path.join(folder, OVERRIDE)
                yield table, changed_at(table)


def _paths(study: Study) -> list[Path]:
    return [study.folder, *(image for image in study.images.values() if isinstance(image, Path))]


def changed_at(path: str) -> int:
    """Return when a folder or file last changed, or -1 if it is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:  # deleted since it was listed
        return -1


def reference_of(study: Study, tasks: tuple[Task, ...]) -> Sequence:
    """Return the sequence that stands for the study: the one a client gets for its id, on whose grid labels lie."""
    task = task_of(study, tasks)
    wanted = task.reference if task else ()
    return next((sequence for sequence in wanted if sequence in study.images), next(iter(study.images)))
