"""A DICOMweb archive: what it holds, fetching series and storing results, with every failure in one sentence.

Neither the sentences nor the log name a patient or a DICOM identifier.
"""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from urllib3.exceptions import ReadTimeoutError

from brainmvp.errors import BrainMVPError
from brainmvp.serve import check_address

# It logs the identifiers of what it is asked for.
logging.getLogger("dicomweb_client").setLevel(logging.ERROR)
# It quotes what is wrong in a header, which may be a name or a date.
warnings.filterwarnings("ignore", module=r"pydicom\b")

_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 60.0
_CONFLICT = 409  # also where what is sent is there already
MOST_STUDIES = 1000


class ArchiveError(BrainMVPError):
    """The archive did not give what it was asked for; it may another time."""


class ArchiveAwayError(ArchiveError):
    """The archive could not be reached."""


@dataclass(frozen=True)
class Listed:
    """A study in the archive's list: the number of its instances, and the patient's number, empty if not told."""

    instances: int
    patient: str


class Pacs:
    """An archive at an address such as `http://host:8042/dicom-web`.

    What follows a question mark narrows the studies down, by DICOM keyword: `?StudyDescription=*head*`. Raises
    `BrainMVPError` if the address is none, or holds a user or a password.
    """

    def __init__(self, address: str, user: str = "", password: str = "") -> None:
        check_address(address)
        parts = urlsplit(address)
        # Spelled in one way: the folder of its labels goes by it.
        self.address = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))
        self._filters = dict(parse_qsl(parts.query))
        session = _Session()
        if user:
            session.auth = (user, password)
        self._client = DICOMwebClient(self.address, session=session)
        self._client.set_http_retry_params(retry=False)

    @property
    def mark(self) -> str:
        """A name for the archive's folder on this computer."""
        host = urlsplit(self.address).hostname or "archive"
        return f"{host}-{hashlib.sha256(self.address.encode()).hexdigest()[:8]}"

    def studies(self) -> dict[str, Listed]:
        """Return every MR study, by its UID."""
        filters = {"ModalitiesInStudy": "MR"} | self._filters
        with self._asking("for its studies"):
            found = self._client.search_for_studies(
                search_filters=filters,
                limit=MOST_STUDIES,
                fields=["NumberOfStudyRelatedInstances", "PatientID"],
            )
            datasets = [Dataset.from_json(one) for one in found]
            return {
                str(d.StudyInstanceUID): Listed(
                    int(d.get("NumberOfStudyRelatedInstances") or 0), str(d.get("PatientID") or "")
                )
                for d in datasets
            }

    def series(self, study_uid: str) -> dict[str, int]:
        """Return the number of instances of every MR series of a study, by its UID."""
        with self._asking("for the series of a study"):
            found = self._client.search_for_series(
                study_uid, fields=["NumberOfSeriesRelatedInstances", "Modality"]
            )
            datasets = [Dataset.from_json(one) for one in found]
            return {
                str(d.SeriesInstanceUID): int(d.get("NumberOfSeriesRelatedInstances") or 0)
                for d in datasets
                if d.get("Modality") == "MR"
            }

    def headers(self, study_uid: str, series_uid: str) -> list[Dataset]:
        """Return the headers of a series without its voxels."""
        with self._asking("for the headers of a series"):
            found = self._client.retrieve_series_metadata(study_uid, series_uid)
            return [Dataset.from_json(one, _no_voxels) for one in found]

    def retrieve(self, study_uid: str, series_uid: str) -> list[Dataset]:
        """Return the files of a series, in the transfer syntax in which they are kept."""
        with self._asking("for the images of a series"):
            return self._client.retrieve_series(
                study_uid, series_uid, media_types=(("application/dicom", "*"),)
            )

    def store(self, file: Path) -> None:
        """Store a DICOM file; what the archive has already it may refuse."""
        result = dcmread(file)
        with self._asking("to store a result"):
            try:
                answer = self._client.store_instances([result])
            except requests.HTTPError as error:
                refused = error.response is not None and error.response.status_code == _CONFLICT
                if refused and self._holds(result):
                    return
                raise
            if answer.get("FailedSOPSequence") and not self._holds(result):
                raise BrainMVPError(f"{self.address} did not accept the result; see the archive's log.")

    def _holds(self, result: Dataset) -> bool:
        found = self._client.search_for_instances(
            result.StudyInstanceUID,
            result.SeriesInstanceUID,
            search_filters={"SOPInstanceUID": result.SOPInstanceUID},
        )
        return bool(found)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn what goes wrong in the block into one sentence."""
        try:
            yield
        except BrainMVPError:
            raise
        except (requests.Timeout, requests.ConnectionError) as error:
            if _is_slow(error):  # for one series: it may have the others
                raise ArchiveError(
                    f"{self.address} did not answer in time when asked {what}; try again when it is less busy."
                ) from error
            raise ArchiveAwayError(
                f"{self.address} cannot be reached; check that the archive runs and that the address is right."
            ) from error
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else "an error"
            remedy = (
                "set MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD"
                if status in (401, 403)
                else "see the archive's log"
            )
            raise ArchiveError(f"{self.address} answered {status} when asked {what}; {remedy}.") from error
        except Exception as error:  # an answer that is no DICOM, in one of the ways in which that can be
            raise ArchiveError(
                f"{self.address} gave no usable answer when asked {what} ({type(error).__name__}); "
                "check that the address is that of its DICOMweb service."
            ) from error


def _is_slow(error: requests.RequestException) -> bool:
    """Tell whether an archive was reached, but kept its answer waiting, or stopped within it."""
    stopped = bool(error.args) and isinstance(error.args[0], ReadTimeoutError)
    return stopped or isinstance(error, requests.ReadTimeout)


def _no_voxels(tag: str, vr: str, address: str) -> None:
    """Leave out what a header only points to."""


class _Session(requests.Session):
    """A session none of whose requests waits for ever."""

    def request(self, *args: object, **options: object) -> requests.Response:
        options.setdefault("timeout", (_CONNECT_SECONDS, _ANSWER_SECONDS))
        return super().request(*args, **options)
