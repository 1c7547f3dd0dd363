"""A study on its way to the server: only what the server does not have goes up."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import scene as ops
from .background import Job
from .client import Client
from .errors import ServerError
from .grids import file_affine
from .nrrd import write_nrrd
from .origin import Origin, content_of, note, noted, sha256_of
from .session import Session
from .tables import TaskSpec


@dataclass(frozen=True)
class Source:
    """A volume as a thread may handle it.

    voxels: (Z, Y, X), with their affine; file: a compressed file that holds exactly them, or None; origin: what the
    server had of the volume when it was last there.
    """

    sequence: str
    node_id: str
    voxels: np.ndarray
    affine: np.ndarray
    file: Path | None
    origin: Origin | None

    @classmethod
    def of(cls, sequence: str, node: Any) -> Source:
        """Return the source of a volume node; for the main thread."""
        return cls(sequence, node.GetID(), ops.voxels(node), ops.affine(node), ops.file_of(node), noted(node))


def send(
    client: Client, task: TaskSpec, name: str, sources: list[Source], folder: Path, job: Job,
    annotator: str = "", copy_of: str = "",
) -> dict[str, Origin]:  # fmt: skip
    """Have the server know the volumes as sequences of one study; return what it has of each, by sequence.

    Nothing goes up that the server has: in this study (after a saved scene was opened again, or where a sequence is
    left empty), under an id that follows from the content (after Slicer was started again), or in another study (after
    one sequence of it was changed). annotator: to whom the server is to reserve what goes up; copy_of: the study that
    it proposed, of which another one is then a copy.
    """
    job.report("Comparing with the server", None)
    contents = {s.sequence: content_of(s.voxels, s.affine) for s in sources}
    kept = {s.sequence: s.origin for s in sources if s.origin and s.origin.content == contents[s.sequence]}
    kept = {sequence: origin for sequence, origin in kept.items() if _is_there(client, origin)}
    if len(kept) == len(sources) and _are_of_one_study(client, task, kept):
        return kept
    if task.takes_any_image:
        kept = {}
    copied = {sequence: origin for sequence, origin in kept.items() if origin.sha256}
    files = _pack([source for source in sources if source.sequence not in copied], folder, job)
    sums = {sequence: origin.sha256 for sequence, origin in copied.items()}
    for sequence, path in files.items():
        sums[sequence] = sha256_of(path, lambda: job.report("Comparing with the server", None))
    study, found = study_id(name, sums), {}
    for number, sequence in enumerate(contents):

        def sent(fraction: float, number: int = number, sequence: str = sequence) -> None:
            job.report(f"Uploading {sequence}", (number + fraction) / len(contents))

        image = study if task.takes_any_image else f"{study}@{sequence}"
        grid = copied[sequence].grid if sequence in copied else file_affine(files[sequence])
        found[sequence] = Origin(image, sums[sequence], grid, contents[sequence], client.url)
        if client.checksum(image) == sums[sequence] or client.image_info(image) is not None:
            continue  # the id follows from the content: what is there under it is this
        if sequence in copied:
            client.copy_image(copied[sequence].image, study, sequence, annotator, copy_of)
        else:
            kind = None if task.takes_any_image else sequence
            client.upload_image(study, kind, files[sequence], sent, annotator, copy_of)
    return found


def settle_copies(client: Client, before: str, now: str, annotator: str) -> None:
    """Have the server propose the user's own study once, after it was changed and went up again under another id.

    before, now: the two ids. The one that is proposed is the later one, unless the earlier one has a final label.
    """
    try:
        if (client.image_info(before) or {}).get("annotator") != annotator:
            return  # a study of the server's own: it stays as it is
        if client.has_label(before, "final"):
            client.note_copy(now, before)
        else:
            client.note_copy(before, now)
    except ServerError:  # a server that notes no such thing
        return


def study_id(name: str, sums: dict[str, str]) -> str:
    """Return the id of a study that goes up: its name as the server allows it, and a hash of its content."""
    content = hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "study"
    return f"{readable}-{content}"


def study_of(image: str) -> str:
    """Return the study of an image's id, `ID` or `ID@SEQUENCE`."""
    return image.rpartition("@")[0] or image


def remember(session: Session, sent: dict[str, Origin], server: str) -> None:
    """Note what a server has of the user's own volumes, by the ids of their nodes; for the main thread."""
    state = session.state
    for node_id, known in sent.items():
        node = session.scene.GetNodeByID(node_id)
        if node is not None:
            note(node, known)
        if study_of(known.image) != state.study:
            state.study, state.answered = study_of(known.image), False
    state.server = server


def _is_there(client: Client, origin: Origin) -> bool:
    """Tell whether the server has an image still: the same file where it tells checksums, else the same server."""
    sha256 = client.checksum(origin.image)
    if sha256 and origin.sha256:
        return sha256 == origin.sha256
    return origin.server == client.url and client.image_info(origin.image) is not None


def _are_of_one_study(client: Client, task: TaskSpec, origins: dict[str, Origin]) -> bool:
    """Tell whether the server has all of these in one study, and as these sequences."""
    studies = {study_of(origin.image) for origin in origins.values()}
    info = client.image_info(studies.pop()) if len(studies) == 1 else None
    if info is None:
        return False
    if task.takes_any_image:
        return True
    has = info.get("sequences") or {}
    return all(has.get(sequence, {}).get("image") == origin.image for sequence, origin in origins.items())


def _pack(sources: list[Source], folder: Path, job: Job) -> dict[str, Path]:
    """Return a compressed file for each volume, by sequence."""
    files: dict[str, Path] = {}
    for number, source in enumerate(sources):

        def written(fraction: float, number: int = number, sequence: str = source.sequence) -> None:
            job.report(f"Packing {sequence}", (number + fraction) / len(sources))

        target = folder / f"{source.sequence.lower()}.nrrd"
        files[source.sequence] = source.file or write_nrrd(target, source.voxels, source.affine, written)
    return files
