"""The index of a cohort: which file is which sequence of which visit of which patient, in one JSON file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.sequences import Sequence
from brainmvp.study import Study

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_VERSION = 1


class Image(BaseModel):
    """One series; file: with slashes, relative to the index's root."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: Sequence
    file: str


class Session(BaseModel):
    """One visit of one patient.

    images: in the order of `Sequence`; a sequence may be there twice (two runs). segmentation: label map, relative as
    an image's file; label: the class of the patient or visit, whatever the cohort's table calls it. split: what the
    visit is for, None where nobody has decided; all visits of a patient share it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    subject: str
    session: str
    images: tuple[Image, ...]
    segmentation: str | None = None
    label: str | None = None
    split: Split | None = None

    @property
    def patient(self) -> str:
        """The one who is never on two sides of a split: `DATASET/SUBJECT`."""
        return f"{self.dataset}/{self.subject}"

    @property
    def id(self) -> str:
        """`DATASET/SUBJECT/SESSION`, unique in an index."""
        return f"{self.patient}/{self.session}"

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """The distinct sequences, in the order of `Sequence`."""
        return tuple(dict.fromkeys(image.sequence for image in self.images))


class Index:
    """A cohort.

    root: the folder that all files are relative to; sessions: sorted by id.

    Example:
        >>> index = Index.read("cohort/index.json")                               # doctest: +SKIP
        >>> [index.study(s).images for s in index.select("train")]                # doctest: +SKIP

    """

    def __init__(self, root: Path, sessions: Iterable[Session]) -> None:
        self.root = Path(root)
        self.sessions = tuple(sorted(sessions, key=lambda session: session.id))

    @classmethod
    def read(cls, path: str | os.PathLike[str], on_error: Callable[[str], None] | None = None) -> Index:
        """Read an index file.

        An entry that cannot be used (a wrong sequence name, a visit listed twice) raises `BrainMVPError`, unless
        `on_error(sentence)` is given: then it is told and left out. Files are not opened here.
        """
        path = Path(path)
        content = _read_json(path)
        problems: list[str] = []
        sessions = _sessions(content["sessions"], path, problems)
        for problem in problems:
            if on_error is None:
                raise BrainMVPError(problem)
            on_error(problem)
        if not sessions:
            raise BrainMVPError(f"{path} lists no usable study; make it again with `brainmvp index`.")
        return cls((path.parent / content["root"]).resolve(), sessions)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the index, complete or not at all; the root is kept relative to the file's folder where it can be."""
        path, root = Path(path), self.root.resolve()
        with suppress(ValueError):  # of another drive of Windows
            root = Path(os.path.relpath(root, path.parent.resolve()))
        content = {
            "format": "brainmvp-index", "version": _VERSION, "root": root.as_posix(),
            "sessions": [session.model_dump(mode="json", exclude_none=True) for session in self.sessions],
        }  # fmt: skip
        write_json(path, content)
        return path

    def select(self, split: Split) -> tuple[Session, ...]:
        """Return the sessions of a split; one without a split trains."""
        return tuple(session for session in self.sessions if (session.split or "train") == split)

    def path(self, file: str) -> Path:
        """Return where a file of the index lies."""
        return self.root / file

    def study(self, session: Session) -> Study:
        """Return a session as the study that the rest of the library reads: the first image of each sequence.

        Raises `BrainMVPError` if a file is missing.
        """
        images = {
            sequence: self._existing(next(i.file for i in session.images if i.sequence is sequence))
            for sequence in session.sequences
        }
        label = self._existing(session.segmentation) if session.segmentation else None
        return Study(session.id.replace("/", "_"), next(iter(images.values())).parent, images, label)

    def with_sessions(self, sessions: Iterable[Session]) -> Index:
        """Return an index of the same root with other sessions."""
        return Index(self.root, sessions)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the index says, wherever it and its files lie."""
        content = [session.model_dump(mode="json", exclude_none=True) for session in self.sessions]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _existing(self, file: str) -> Path:
        path = self.path(file)
        if not path.is_file():
            raise BrainMVPError(
                f"{path} is in the index but not there; restore it or index the folder again."
            )
        return path


def _read_json(path: Path) -> dict[str, Any]:
    remedy = "make it with `brainmvp index FOLDER`"
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BrainMVPError(f"{path} cannot be read ({error.strerror}); {remedy}.") from error
    except ValueError as error:
        raise BrainMVPError(f"{path} is not JSON ({error}); {remedy}.") from error
    if not isinstance(content, dict) or content.get("format") != "brainmvp-index":
        raise BrainMVPError(f"{path} is no index of a cohort; {remedy}.")
    if content.get("version") != _VERSION or not isinstance(content.get("sessions"), list):
        raise BrainMVPError(f"{path} is an index of another version of this software; {remedy}.")
    return {"root": ".", **content}


def _sessions(entries: list[Any], path: Path, problems: list[str]) -> list[Session]:
    """Return the entries that can be used; a bad image costs its session that image only."""
    found: dict[str, Session] = {}
    for number, entry in enumerate(entries, start=1):
        named = "/".join(str(entry.get(key)) for key in ("dataset", "subject", "session")) if isinstance(
            entry, dict
        ) else f"entry {number}"  # fmt: skip
        try:
            session = Session.model_validate(_without_bad_images(entry, named, path, problems))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(
                f"{path}, {named}: {'.'.join(map(str, first['loc']))}: {first['msg']}; correct it."
            )
            continue
        outside = [file for file in _files(session) if _leaves_root(file)]
        if outside:
            problems.append(f"{path}, {named}: {outside[0]} lies outside the index's root; move it inside.")
        elif session.id in found:
            problems.append(f"{path} lists {named} twice; remove one.")
        elif not session.images:
            problems.append(f"{path}, {named} has no usable image; remove or correct it.")
        else:
            found[session.id] = session
    return list(found.values())


def _without_bad_images(entry: Any, named: str, path: Path, problems: list[str]) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("images"), list):
        return entry
    images = []
    for image in entry["images"]:
        name = image.get("sequence") if isinstance(image, dict) else image
        if name in list(Sequence):
            images.append(image)
        else:
            known = ", ".join(Sequence)
            problems.append(f"{path}, {named}: '{name}' is no sequence; the sequences are {known}.")
    return {**entry, "images": images}


def _files(session: Session) -> list[str]:
    return [image.file for image in session.images] + ([session.segmentation] if session.segmentation else [])


def _leaves_root(file: str) -> bool:
    pure = PurePosixPath(file)
    return pure.is_absolute() or ".." in pure.parts
