"""The names that come from outside: which are allowed, and what they mean.

An existing study is found by looking its id up, so its name may be anything that a folder can be called. A name that
becomes a path (a new study, a label's tag) has to pass an allow-list here first.
"""

import json
import re

from brainmvp.sequences import Sequence
from brainmvp_app.errors import RefusedError

# Stands between a study's id and a sequence in the id of one image, `patient1@FLAIR`; no new study may contain it.
SEQUENCE_MARK = "@"

_STUDY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_TAG = re.compile(r"[a-z][a-z0-9_-]{0,39}")
# Folders beside the studies that are not studies, and names that Windows keeps for devices.
_RESERVED = re.compile(
    r"labels|derivatives|sourcedata|anat|dwi|perf|(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE
)


def check_new_study(study_id: str) -> str:
    """Return the id under which a new study may be stored; raises `RefusedError` (400) if it is not allowed."""
    if not _STUDY.fullmatch(study_id) or _RESERVED.fullmatch(study_id):
        raise RefusedError(
            400,
            f"{_shown(study_id)} is not a name for a new study; use up to 100 letters, digits, dots, hyphens and "
            "underscores, starting with a letter or digit.",
        )
    return study_id


def check_tag(tag: object) -> str:
    """Return a label's tag such as `final`; raises `RefusedError` (400) if it is not allowed."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise RefusedError(
            400,
            f"{_shown(tag)} is not a label tag; use small letters, digits, hyphens and underscores, such as final.",
        )
    return tag


def check_unicode(value: object, field: str) -> None:
    """Raise `RefusedError` (400) if JSON holds half of a character: no file, database or answer could hold it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RefusedError(400, f"{field} holds text that is no Unicode; send it again.") from error


def check_sequences(names: object) -> tuple[Sequence, ...]:
    """Return the sequences of a list of names; raises `RefusedError` (400) if it is none, or empty."""
    known = {str(sequence): sequence for sequence in Sequence}
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n in known for n in names):
        raise RefusedError(
            400, f'sequences has to be a list such as ["T1", "FLAIR"] out of {", ".join(Sequence)}.'
        )
    return tuple(known[name] for name in names)


def image_id(study_id: str, sequence: Sequence) -> str:
    """Return the id of one sequence of a study, by which a client fetches it."""
    return f"{study_id}{SEQUENCE_MARK}{sequence}"


def split_image_id(name: str) -> tuple[str, str | None]:
    """Return the study's id and the sequence's name of `ID@SEQUENCE`; None where there is no sequence in it."""
    study_id, mark, sequence = name.rpartition(SEQUENCE_MARK)
    return (study_id, sequence) if mark else (name, None)


def _shown(text: object) -> str:
    return repr(text if len(str(text)) <= 60 else f"{str(text)[:60]}…")
