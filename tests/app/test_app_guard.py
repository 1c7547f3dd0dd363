"""What the server refuses before it reads it, and that a request that fails leaves no file behind."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from app_server import Server
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from brainmvp.files import atomically


async def count(scope, receive, send):
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def status(parts: list[bytes], **headers: str) -> int:
    """Send a body in parts, without its length, to a guard that lets 10 bytes through; return the status."""
    return answer(parts, headers)[0]


def answer(
    parts: list[bytes], headers: dict[str, str], names: Iterable[str] = (), **more: Any
) -> tuple[int, str]:
    """Send a body as `status` does, and return the status and the answer; more: of the request's scope."""
    from brainmvp_app.guard import Guard

    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    named = [(key.encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": named, "query_string": b""} | more
    asyncio.run(Guard(count, ["http://listed:1"], names, 10)(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[1]["body"].decode()


def test_a_body_is_counted_although_its_length_is_not_stated():
    assert status([b"x" * 5, b"x" * 5]) == 200
    assert status([b"x" * 5, b"x" * 6, b"x" * 5]) == 413


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://listed:1", 200),
        ("http://own:8000", 200),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_that_are_not_listed_are_refused(origin, expected):
    assert status([b"x"], origin=origin, host="own:8000") == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("evil.example", 403),
        ("evil.example.:80", 403),
        ("[half", 403),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("127.0.0.1", 200),
    ],
)
def test_a_page_cannot_make_its_own_name_the_server_s(server: Server, host: str, expected: int) -> None:
    assert server.call("GET", "/info/", headers={"Host": host}).status_code == expected


BROWSER = {"accept-language": "en"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "evil.example:8000", "origin": "http://evil.example:8000"}, 403),
        ({"host": "evil.example:8000"} | BROWSER, 403),
        ({"host": "evil.example:8000", "sec-fetch-site": "same-origin"}, 403),
        ({"host": "server.hospital.local:8000"}, 200),  # 3D Slicer, or another program
        ({"host": "this.hospital.local:8000"} | BROWSER, 200),
        ({"host": "server.hospital.local:8000", "origin": "http://listed:1"}, 200),
        ({"host": "listed:8000"} | BROWSER, 200),
        ({"host": "10.1.2.3:8000"} | BROWSER, 200),
        ({"host": "[fd00::3]:8000"} | BROWSER, 200),
        ({"host": "server:8000"} | BROWSER, 200),
    ],
)
def test_in_a_network_a_browser_calls_the_server_by_a_name_that_it_knows(monkeypatch, headers, expected):
    from brainmvp_app.server import own_names

    monkeypatch.setattr(socket, "getfqdn", lambda: "This.hospital.local")
    code, text = answer([b"x"], headers, own_names(), server=("10.1.2.3", 8000), scheme="http")
    assert code == expected
    if code == 403:
        assert "start it with --allow-origin http://evil.example:8000." in text


@pytest.mark.parametrize(("host", "expected"), [("this.hospital.local", 200), ("evil.example", 403)])
def test_a_computer_that_has_its_own_name_on_loopback_may_be_called_by_it(host: str, expected: int) -> None:
    names = ["this.hospital.local"]
    assert answer([b"x"], {"host": f"{host}:8000"}, names, server=("127.0.1.1", 8000))[0] == expected


@pytest.mark.parametrize("error", [OSError("no name server"), UnicodeError("label too long")])
def test_a_computer_whose_name_cannot_be_told_has_none(monkeypatch, error: Exception) -> None:
    from brainmvp_app import server

    def fail() -> str:
        raise error

    monkeypatch.setattr(socket, "getfqdn", fail)
    monkeypatch.setattr(server, "_running", None)
    assert server.own_names() == set()


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/datastore/dataset", {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}, 403),
        ("/datastore/dataset", {"sec-fetch-site": "same-site", "sec-fetch-dest": "empty"}, 403),
        ("/datastore/dataset", {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 403),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, 403),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 200),  # a link in an e-mail
        ("/datastore/dataset", {"sec-fetch-site": "none", "sec-fetch-dest": "document"}, 200),  # typed in
        ("/datastore/dataset", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}, 200),
        ("/datastore/dataset", {"sec-fetch-site": "same-site", "referer": "http://listed:1/"}, 200),
        ("/datastore/dataset", {"sec-fetch-site": "cross-site", "referer": "http://listed:1.evil/"}, 403),
        ("/datastore/dataset", {"sec-fetch-site": "cross-site", "origin": "http://listed:1"}, 200),
    ],
)
def test_a_page_cannot_embed_what_the_server_sends(path, headers, expected):
    code, text = answer([b"x"], {"host": "127.0.0.1:8000"} | headers, server=("127.0.0.1", 8000), path=path)
    assert code == expected
    assert (code == 200) or "open the address itself" in text


def test_a_page_without_an_origin_of_its_own_is_not_told_to_be_listed(server: Server) -> None:
    assert "serve it from an address" in server.refused(403, "GET", "/info/", headers={"Origin": "null"})


def test_the_pages_that_the_server_brings_may_call_it(server: Server) -> None:
    assert server.call("GET", "/info/", headers={"Origin": server.url}).status_code == 200


def test_a_form_of_another_page_changes_nothing(server: Server) -> None:
    sentence = server.refused(403, "POST", "/train/tumour", headers={"Origin": "https://evil.example"})
    assert "https://evil.example may not call" in sentence and "--allow-origin" in sentence


def test_an_upload_that_would_fill_the_disk_is_refused_unread(server: Server) -> None:
    from brainmvp_app.guard import MOST_BYTES

    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = "PUT /datastore/image?image=x HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        connection.sendall(f"{head}Content-Length: {MOST_BYTES + 1}\r\n\r\n".encode())
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_what_cannot_be_written_leaves_no_temporary_file(tmp_path: Path, monkeypatch) -> None:
    from brainmvp_app.temporary import written

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        written("x-", ".nii.gz", fail)
    assert not list(tmp_path.iterdir())
    whole = written("x-", ".txt", lambda path: atomically(path, lambda part: part.write_text("whole")))
    assert whole.read_text() == "whole" and list(tmp_path.iterdir()) == [whole]
    assert whole.stat().st_mode & 0o777 == 0o600 or os.name == "nt"
