"""An archive that is slow, closed or none at all is said in one sentence, and nothing waits for ever."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dicom_files import FLAIR, write_series
from pydicom import dcmread
from pydicom.uid import generate_uid

from brainmvp.errors import BrainMVPError
from brainmvp.serve import free_port
from brainmvp.volume import Volume


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """Return a function that starts a web server with an answer for everything and returns its address."""
    servers = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        handler = type(
            "Handler",
            (BaseHTTPRequestHandler,),
            {"do_GET": answer, "do_POST": answer, "log_message": lambda *_: None},
        )
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/dicom-web"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def studies_of(address: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    from brainmvp_app import pacs

    monkeypatch.setattr(pacs, "_ANSWER_SECONDS", 0.3)
    return pacs.Pacs(address, "user", "secret").studies()


@pytest.mark.parametrize("begun", [False, True])
def test_a_slow_archive_is_not_waited_for_and_not_taken_for_one_that_is_away(
    answering, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    over = threading.Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        if begun:
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"[")
        over.wait(10)

    address = answering(wait)
    with pytest.raises(BrainMVPError, match="did not answer in time when asked for its studies") as slow:
        studies_of(address, monkeypatch)
    over.set()
    assert type(slow.value).__name__ == "ArchiveError"  # an export goes on with the next series
    nobody = f"http://127.0.0.1:{free_port()}/dicom-web"
    with pytest.raises(BrainMVPError, match="cannot be reached") as away:
        studies_of(nobody, monkeypatch)
    assert type(away.value).__name__ == "ArchiveAwayError"


def test_a_closed_archive_says_where_the_password_goes(answering, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(401)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with pytest.raises(BrainMVPError, match=r"answered 401 .* set MONAI_LABEL_DICOMWEB_USERNAME") as error:
        studies_of(answering(refuse), monkeypatch)
    assert "secret" not in str(error.value)


def test_what_is_no_archive_is_said(answering, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "13")
        handler.end_headers()
        handler.wfile.write(b"<html></html>")

    with pytest.raises(BrainMVPError, match="check that the address is that of its DICOMweb service"):
        studies_of(answering(page), monkeypatch)


@pytest.mark.parametrize("what", ["its studies", "the series of a study"])
def test_a_listing_that_makes_no_sense_is_said(answering, what: str) -> None:
    from brainmvp_app.pacs import ArchiveError, Pacs

    def answer(handler: BaseHTTPRequestHandler) -> None:
        of_study, of_series = ({"vr": "IS", "Value": [""]} for _ in range(2))
        one = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00201208": of_study, "00201209": of_series}
        body = json.dumps([one | {"00080060": {"vr": "CS", "Value": ["MR"]}}]).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/dicom+json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    archive = Pacs(answering(answer))
    with pytest.raises(ArchiveError, match=f"gave no usable answer when asked for {what}"):
        archive.studies() if what == "its studies" else archive.series("1.2")


def test_the_studies_can_be_narrowed_down_in_the_address(answering, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def nothing(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        handler.send_response(204)
        handler.end_headers()

    assert studies_of(f"{answering(nothing)}?StudyDescription=*head*", monkeypatch) == {}
    assert "ModalitiesInStudy=MR" in asked[0]
    assert "StudyDescription=" in asked[0]


def test_an_archive_has_one_folder_however_its_address_is_written() -> None:
    from brainmvp_app.pacs import Pacs

    written = (
        "http://pacs.example/dicom-web",
        "http://pacs.example/dicom-web/",
        "http://PACS.Example/dicom-web",
    )
    (mark,) = {Pacs(address).mark for address in written}
    assert mark.startswith("pacs.example-")
    assert Pacs("http://pacs.example/other").mark != mark


@pytest.mark.parametrize("held", [True, False])
def test_what_an_archive_refuses_because_it_has_it_is_stored(answering, tmp_path: Path, held: bool) -> None:
    from brainmvp_app.pacs import ArchiveError, Pacs

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        asked = handler.command == "GET"
        uid = handler.path.partition("SOPInstanceUID=")[2].partition("&")[0]
        there = [{"00080018": {"vr": "UI", "Value": [uid]}}] if held else []
        body = json.dumps(there).encode() if asked else b""
        handler.send_response(200 if asked else 409)
        handler.send_header("Content-Type", "application/dicom+json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    scan = Volume(np.ones((4, 5, 3), np.int16), np.diag([-1, -1, 1, 1]))
    (file, *_) = write_series(tmp_path, scan, generate_uid(), 1)
    archive = Pacs(answering(answer))
    if held:
        archive.store(file)
    else:
        with pytest.raises(ArchiveError, match="answered 409"):
            archive.store(file)


def test_what_other_rules_have_named_is_looked_at_again(tmp_path: Path) -> None:
    from brainmvp_app.pacs_catalogue import PacsCatalogue

    scan = Volume(np.ones((20, 20, 10), np.int16), np.diag([2.0, 2.0, 5.0, 1.0]))
    files = write_series(tmp_path / "sent", scan, uid := generate_uid(), 1, **FLAIR)
    headers = [dcmread(file, stop_before_pixels=True) for file in files]
    asked = []
    pacs = SimpleNamespace(
        studies=lambda: {uid: SimpleNamespace(patient="P", instances=len(files))},
        series=lambda study: {headers[0].SeriesInstanceUID: len(files)},
        headers=lambda study, series: asked.append(series) or headers,
    )

    def sequences() -> list[str]:
        catalogue = PacsCatalogue(tmp_path / "here", pacs)
        catalogue.scan()
        catalogue._looking.join(60)
        catalogue.scan()
        (study,) = catalogue.studies.values()
        return list(study.images)

    assert sequences() == ["FLAIR"]
    (notes,) = (tmp_path / "here").rglob("archive.json")
    written = notes.stat().st_mtime_ns
    assert sequences() == ["FLAIR"]
    assert len(asked) == 1
    assert notes.stat().st_mtime_ns == written  # nothing new: not written again
    content = json.loads(notes.read_text())
    for study in content.values():
        study["entries"][0]["verdict"] |= {"sequence": "T2", "what": "T2"}
    notes.write_text(json.dumps(content))
    assert sequences() == ["T2"]
    notes.write_text(json.dumps({key: study | {"rules": "older"} for key, study in content.items()}))
    assert sequences() == ["FLAIR"]
    assert len(asked) == 2
