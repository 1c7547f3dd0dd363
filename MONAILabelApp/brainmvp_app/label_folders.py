"""The labels in their folders, `labels/TAG/STUDY.nii.gz`, kept in step with the disk."""

import os
from collections.abc import Container
from pathlib import Path

from brainmvp_app.catalogue import changed_at
from brainmvp_app.incoming import image_suffix


class LabelFolders:
    """Which studies have a label under which tag."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._times: dict[str, int] = {}
        self._found: dict[str, dict[str, set[str]]] = {}

    def changed(self) -> bool:
        """Tell whether the disk is no longer as `scan` found it."""
        return self._times != self._changed_at()

    def scan(self) -> dict[str, dict[str, set[str]]]:
        """Return, by tag and study, the endings of the label files: more than one only where others put them."""
        self._times = self._changed_at()
        found: dict[str, dict[str, set[str]]] = {}
        for folder in self._folders():
            labels = found.setdefault(os.path.basename(folder), {})
            for name in os.listdir(folder):
                suffix = image_suffix(name)
                # What begins with a dot is being written.
                if suffix and name.endswith(suffix) and not name.startswith("."):
                    labels.setdefault(name[: -len(suffix)], set()).add(suffix)
        self._found = found
        return found

    def without_study(self, studies: Container[str]) -> list[tuple[str, str]]:
        """Return tag and name of the labels that were found and are of none of some studies."""
        return [(tag, name) for tag, labels in self._found.items() for name in labels if name not in studies]

    def _changed_at(self) -> dict[str, int]:
        return {folder: changed_at(folder) for folder in (str(self._root), *self._folders())}

    def _folders(self) -> list[str]:
        if not self._root.is_dir():
            return []
        with os.scandir(self._root) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir())
