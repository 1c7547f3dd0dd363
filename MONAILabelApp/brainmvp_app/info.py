"""What is noted about studies and labels, and what of it a client may write."""

from pathlib import Path
from typing import Any

from brainmvp.study import Study
from brainmvp_app.errors import RefusedError
from brainmvp_app.fetched import place_of
from brainmvp_app.ids import image_id
from brainmvp_app.incoming import image_suffix

# Worked out by the server.
_COMPUTED = ("path", "name", "reference", "sequences", "series", "ts", "replaced")


def sequences_info(study: Study) -> dict[str, dict[str, Any]]:
    """Return, for each sequence of a study, the id to fetch it by, a file name for it, and its size in bytes.

    The size of what a DICOM series becomes is known (not null) once somebody asked for it.
    """
    return {
        str(sequence): {
            "image": image_id(study.id, sequence),
            "name": f"{study.id}_{sequence.lower()}{image_suffix(place_of(study, sequence).name)}",
            "bytes": _size(place_of(study, sequence)),
        }
        for sequence in study.images
    }


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def client_info(info: object) -> dict[str, Any]:
    """Return the notes of a client without the keys that are computed; raises `RefusedError` (400) if malformed.

    `strategy` is what active learning keeps there: when each strategy proposed the study.
    """
    if not isinstance(info, dict):
        raise RefusedError(400, "The notes about an image or label have to be a JSON object.")
    strategy = info.get("strategy", {})
    if not isinstance(strategy, dict) or not all(
        isinstance(entry, dict) and isinstance(entry.get("ts", 0), int | float) for entry in strategy.values()
    ):
        raise RefusedError(400, 'strategy has to look like {"random": {"ts": 0}}.')
    return {key: value for key, value in info.items() if key not in _COMPUTED and key != "sequence"}
