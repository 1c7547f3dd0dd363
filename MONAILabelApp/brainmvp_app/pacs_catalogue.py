"""The brain studies of an archive, kept in step with it in the background."""

import hashlib
import hmac
import json
import logging
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from pydicom import Dataset

import brainmvp.dicom
import brainmvp.sequences
from brainmvp.dicom.choose import SeriesEntry, choose
from brainmvp.dicom.headers import slices_of
from brainmvp.dicom.series import images_of
from brainmvp.dicom.verdict import Verdict
from brainmvp.errors import BrainMVPError
from brainmvp.files import ARCHIVE_NOTES, HIDDEN, atomically, write_json
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp_app.fetched import FetchedImages
from brainmvp_app.pacs import MOST_STUDIES, Pacs
from brainmvp_app.pacs_image import ArchivedImage

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 30.0
# A small archive is listed at once; a large one fills in while the server works.
_FIRST_LOOK_SECONDS = 10.0
_ARCHIVE = "archive"


@dataclass
class _Known:
    """A study as the archive had it: the number of its instances, of those of each MR series, and what these are."""

    instances: int
    series: dict[str, int]
    entries: list[SeriesEntry]

    @property
    def images(self) -> dict[Sequence, ArchivedImage]:
        """The image of each sequence."""
        used = {entry.verdict.sequence: entry.image for entry in self.entries if entry.use == "used"}
        return {sequence: used[sequence] for sequence in Sequence if sequence in used}


class PacsCatalogue:
    """The studies of an archive that hold an MRI sequence of the brain, by an id that names nobody.

    Looks like `Catalogue`. What is known of the studies is written down, so that a server that starts while the
    archive is away still knows them.
    """

    def __init__(self, root: Path, pacs: Pacs) -> None:
        self.root = root
        self.studies: dict[str, Study] = {}
        self.problems: dict[str, str] = {}
        self._pacs = pacs
        self._notes = root / HIDDEN / ARCHIVE_NOTES
        self._secret = _secret(root / HIDDEN / "secret")
        self._lock = Lock()
        self._known = self._remembered()
        self._troubles: dict[str, str] = {}
        self._outdated: set[str] = set()
        self._news = False
        self._unwritten = False
        self._looked = float("-inf")
        self._looking: Thread | None = None
        self._waited = False

    def changed(self) -> bool:
        """Tell whether there is news since the last `scan`; looks into the archive again when it is time."""
        running = self._looking is not None and self._looking.is_alive()
        if not running and time.monotonic() - self._looked > _EVERY_SECONDS:
            self._look()
        return self._news

    def scan(self) -> None:
        """Take over what was found."""
        if not self._waited:
            self._waited = True
            if self._looking is None:
                self._look()
            self._looking.join(_FIRST_LOOK_SECONDS)
        with self._lock:
            self._news = False
            self.problems = dict(self._troubles)
            self.studies = {
                study_id: self._current(study_id) or self._study(study_id, known)
                for study_id, known in sorted(self._known.items())
                if known.images
            }
            self._outdated.clear()

    def _current(self, study_id: str) -> Study | None:
        return None if study_id in self._outdated else self.studies.get(study_id)

    def _study(self, study_id: str, known: _Known) -> Study:
        folder = self.root / HIDDEN / "images" / study_id
        folder.mkdir(parents=True, exist_ok=True)  # MONAI Label drops what has no place on the disk
        images = FetchedImages(known.images, folder)
        return Study(study_id, folder, images, series=tuple(known.entries))

    def _id(self, study_uid: str, patient: str) -> str:
        """Return an id like that of a BIDS session, so that a patient's visits are known to be of one.

        Without the secret beside the studies nobody can work out whose it is.
        """
        subject, session = (
            hmac.new(self._secret, text.encode(), "sha256").hexdigest()[:10]
            for text in (patient or study_uid, study_uid)
        )
        return f"sub-{subject}_ses-{session}"

    def _look(self) -> None:
        self._looked = time.monotonic()
        self._looking = Thread(target=self._follow_archive, name="archive", daemon=True)
        self._looking.start()

    def _follow_archive(self) -> None:
        try:
            listed = {
                self._id(uid, one.patient): (uid, one.instances) for uid, one in self._pacs.studies().items()
            }
        except BrainMVPError as error:
            self._publish({_ARCHIVE: str(error)})
            return
        troubles: dict[str, str] = {}
        if len(listed) >= MOST_STUDIES:
            troubles[_ARCHIVE] = (
                f"The archive holds more than {MOST_STUDIES} MR studies, of which these are the first; "
                "narrow them down in the address, such as ?StudyDescription=*head*."
            )
        with self._lock:
            gone = [study_id for study_id in self._known if study_id not in listed]
            for study_id in gone:
                del self._known[study_id]
            self._news = self._news or bool(gone)
        self._unwritten = self._unwritten or bool(gone)
        for study_id, (uid, count) in listed.items():
            known = self._known.get(study_id)
            if known is None or known.instances != count:
                self._update(study_id, uid, count, troubles)
                self._unwritten = True
        self._publish(troubles)
        if self._unwritten:  # the notes of a large archive are many megabytes
            self._remember()
            self._unwritten = False

    def _update(self, study_id: str, uid: str, count: int, troubles: dict[str, str]) -> None:
        """Read the headers of a study that is new or has changed; a series that cannot be read is left out."""
        known = self._known.get(study_id)
        try:
            series = self._pacs.series(uid)
        except BrainMVPError as error:
            troubles[study_id] = str(error)
            return
        if known and known.instances >= 0 and known.series == series:
            known.instances = count  # something else came, such as our own result
            return
        headers: list[Dataset] = []
        for series_uid in series:
            try:
                headers += self._pacs.headers(uid, series_uid)
            except BrainMVPError as error:
                troubles[study_id] = f"A series was left out: {error}"
        try:
            _, found = choose(images_of(one for header in headers for one in slices_of(header, Path())))
        except Exception as error:  # one study whose headers make no sense: the others go on
            troubles[study_id] = (
                f"Its headers make no sense ({type(error).__name__}); see what the archive holds."
            )
            return
        entries = [self._archived(entry) for entry in found]
        with self._lock:
            # With a series left out, the study is looked at again next time.
            self._known[study_id] = _Known(-1 if study_id in troubles else count, series, entries)
            self._outdated.add(study_id)
            self._news = True

    def _archived(self, entry: SeriesEntry) -> SeriesEntry:
        """Return an entry whose image can be fetched; of the others, where their slices are need not be remembered."""
        image = entry.image if entry.use == "used" else replace(entry.image, planes=())
        return replace(entry, image=ArchivedImage.known(image, self._pacs))

    def _publish(self, troubles: dict[str, str]) -> None:
        for place, trouble in troubles.items():
            if self._troubles.get(place) != trouble:
                logger.warning("%s: %s", place, trouble)
        with self._lock:
            self._news = self._news or troubles != self._troubles
            self._troubles = troubles

    def _remember(self) -> None:
        rules = _rules()
        content = {
            study_id: {
                "rules": rules,
                "instances": known.instances,
                "series": known.series,
                "entries": [
                    {**vars(entry), "image": entry.image.as_json(), "verdict": vars(entry.verdict)}
                    for entry in known.entries
                ],
            }
            for study_id, known in self._known.items()
        }
        write_json(self._notes, content)

    def _remembered(self) -> dict[str, _Known]:
        try:
            content: dict[str, Any] = json.loads(self._notes.read_text("utf-8"))
            rules, known = _rules(), {}
            for study_id, one in content.items():
                # Named by other rules, a study is looked at again as soon as the archive answers.
                instances = one["instances"] if one.get("rules") == rules else -1
                known[study_id] = _Known(instances, one["series"], [self._entry(e) for e in one["entries"]])
            return known
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none yet, or of another version: the archive has it all

    def _entry(self, values: dict[str, Any]) -> SeriesEntry:
        verdict = values["verdict"]
        sequence = Sequence(verdict["sequence"]) if verdict["sequence"] else None
        verdict |= {"sequence": sequence, "contradictions": tuple(verdict["contradictions"])}
        image = ArchivedImage.from_json(values["image"], self._pacs)
        return SeriesEntry(**values | {"image": image, "verdict": Verdict(**verdict)})


def _rules() -> str:
    """Return a mark of the code that tells which series is which sequence."""
    files = [
        *sorted(Path(brainmvp.dicom.__file__).parent.glob("*.py")), Path(brainmvp.sequences.__file__)
    ]  # fmt: skip
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _secret(path: Path) -> bytes:
    """Return the random bytes of a file, made if it is not there, which only its owner may read."""
    if not path.is_file():
        # Lost, it would give every study another id.
        random = secrets.token_bytes(32)
        atomically(path, lambda temporary: temporary.write_bytes(random), durable=True, private=True)
    return path.read_bytes()
