"""Label maps in a folder of results: written so that it can be told whose they are, and if somebody corrected them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainmvp.errors import BrainMVPError
from brainmvp.files import TEMPORARY, digest_of, readable, write_json

if TYPE_CHECKING:
    from brainmvp.study import Study

_SUFFIXES = (".nii.gz", ".seg.nrrd", ".dcm")
_DIGESTS = "sha256"


def spare_another(study: "Study", task: str, folder: Path) -> None:
    """Refuse a study's folder of results if it holds those of another study; a report of earlier tells no folder."""
    scans = _report(folder, task).get("folder")
    if scans and scans != readable(str(study.folder)):
        raise BrainMVPError(
            f"{folder} holds the result of {scans}, not of {study.folder}; choose another output folder, or move that "
            "result away."
        )


def spare_corrected(folder: Path, task: str) -> None:
    """Refuse a study's folder of results if a label map there is not as the report beside it says it was written."""
    known = _report(folder, task).get(_DIGESTS) or {}
    for suffix in _SUFFIXES:
        file = folder / f"{task}{suffix}"
        if file.is_file() and known.get(file.name) != digest_of(file):
            raise BrainMVPError(
                f"{file} is not as it was written here, perhaps somebody has corrected it; move it away, or choose "
                "another output folder."
            )


def write_drafts(
    folder: Path, task: str, suffixes: tuple[str, ...], save: Callable[[Path], Any], report: dict[str, Any]
) -> None:
    """Write label maps that are not there, TASK.nii.gz and so on, and TASK.json: the report with the digests of all.

    They get their names after that, so that a run that is killed leaves none that the report does not know.
    """
    written = {f"{task}{suffix}": folder / f"{TEMPORARY}{task}{suffix}" for suffix in suffixes}
    try:
        for file in written.values():
            save(file)
        digests = {name: digest_of(file) for name, file in written.items()}
        known = _report(folder, task).get(_DIGESTS) or {}
        write_json(folder / f"{task}.json", report | {_DIGESTS: known | digests})
        for name, file in written.items():
            file.replace(folder / name)
    finally:
        for file in written.values():
            file.unlink(missing_ok=True)


def _report(folder: Path, task: str) -> dict[str, Any]:
    try:
        report = json.loads((folder / f"{task}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}
