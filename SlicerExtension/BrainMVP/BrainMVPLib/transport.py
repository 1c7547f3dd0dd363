"""HTTP: timeouts, retries of what may be retried, transfers that stream and say how far they are."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

import requests

from .errors import ServerError

Report = Callable[[float], Any]

_CONNECT_SECONDS = 4.0
_READ_SECONDS = 60.0
_PAUSES = (0.3, 1.0)  # before the second and the third attempt
# Asking twice changes no more than asking once. The server takes the same image, or the same label, again.
_REPEATABLE = ("GET", "PUT", "DELETE")
_CHUNK = 1 << 18
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Whatever proxy the environment names: it would look on a computer of its own.
DIRECT = {"http": "", "https": ""}


class Transport:
    """Requests to one server; safe to use from several threads. Certificates are always checked."""

    def __init__(self, url: str, token: str = "") -> None:
        try:
            address = urlsplit(url.strip() if "//" in url else f"http://{url.strip()}")
        except ValueError:  # a bracket that is never closed
            address = urlsplit("")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ServerError(f"{url!r} is no address of a server; write it like http://127.0.0.1:8000.")
        self.url = address.geturl().rstrip("/")
        self._proxies = DIRECT if address.hostname in _LOOPBACK else None
        # Not as a header: a line of ~/.netrc about the same host would take its place.
        self._auth = _Bearer(token) if token else None

    def json(self, method: str, path: str, seconds: float = _READ_SECONDS, **options: Any) -> Any:
        """Return the JSON answer to a request; `options` as for `requests.request`."""
        answer = self._send(method, path, seconds, **options)
        try:
            return answer.json()
        except ValueError as error:
            raise ServerError(
                f"{self.url} answered something that is no MONAI Label server's answer; check the address.",
                answer.text[:2000],
                answer.status_code,
            ) from error

    def download(
        self,
        method: str,
        path: str,
        target: Path,
        report: Report,
        seconds: float = _READ_SECONDS,
        **options: Any,
    ) -> requests.Response:
        """Store the body of the answer as the file `target`, which appears complete or not at all."""
        temporary = target.with_name(f"{target.name}.part")
        attempts = (*_PAUSES, None) if method in _REPEATABLE else (None,)
        for pause in attempts:
            answer = self._send(method, path, seconds, stream=True, **options)
            try:
                self._store(answer, temporary, report)
            except (requests.RequestException, OSError) as error:
                temporary.unlink(missing_ok=True)
                if not isinstance(error, requests.RequestException):
                    raise  # this computer's disk
                if pause is None:
                    raise ServerError(
                        f"{self.url} closed the connection in the middle of a transfer; try again.",
                        repr(error),
                    ) from error
                time.sleep(pause)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            else:
                os.replace(temporary, target)
                return answer
            finally:
                answer.close()
        raise AssertionError("unreachable")

    def upload(
        self, path: str, field: str, file: Path, fields: dict[str, str], report: Report, **options: Any
    ) -> Any:
        """PUT a file as a form, streamed, and return the JSON answer."""
        boundary = uuid.uuid4().hex
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}

        def body() -> FormBody:  # a new one for each attempt
            return FormBody(boundary, field, file, fields, report)

        return self.json("PUT", path, seconds=600, body=body, headers=headers, **options)

    def _store(self, answer: requests.Response, temporary: Path, report: Report) -> None:
        expected = int(answer.headers.get("Content-Length", 0))
        received = 0
        with temporary.open("wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                received += len(chunk)
                report(min(1.0, received / expected) if expected else 0.0)
        # requests takes a body that ends early for the whole of it.
        if expected and received < expected and "Content-Encoding" not in answer.headers:
            raise requests.ConnectionError(f"{received} of {expected} bytes came")

    def _send(
        self,
        method: str,
        path: str,
        seconds: float,
        body: Callable[[], Any] | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> requests.Response:
        attempts = (*_PAUSES, None)
        for pause in attempts:
            try:
                if body is not None:
                    options["data"] = body()
                answer = requests.request(
                    method,
                    self.url + path,
                    timeout=(_CONNECT_SECONDS, seconds),
                    proxies=self._proxies,
                    headers=headers,
                    auth=self._auth,
                    **options,
                )
            except requests.RequestException as error:
                if pause is None or not _may_repeat(method, error):
                    raise self._explained(error, seconds) from error
            else:
                if answer.status_code < 400:
                    return answer
                if pause is None or method not in _REPEATABLE or answer.status_code not in (502, 503, 504):
                    raise self._refused(answer)
                answer.close()
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _explained(self, error: requests.RequestException, seconds: float) -> ServerError:
        if isinstance(error, requests.exceptions.SSLError):
            sentence = (
                f"The certificate of {self.url} is not trusted; ask whoever runs it for the right address."
            )
        elif isinstance(error, requests.exceptions.ReadTimeout):
            sentence = f"{self.url} did not answer within {seconds:.0f} s; try again when it is less busy."
        else:
            sentence = f"No server answers at {self.url}; check the address, or start the server."
        return ServerError(sentence, repr(error))

    def _refused(self, answer: requests.Response) -> ServerError:
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = None
        status = answer.status_code
        if status in (401, 403) and not isinstance(detail, str):
            detail = "The server wants a valid token."
        if not isinstance(detail, str):
            detail = (
                f"The server failed ({status} {answer.reason}); try again, or look into the server's log."
            )
        return ServerError(detail, f"{answer.request.method} {answer.url}\n{answer.text[:2000]}", status)


class _Bearer(requests.auth.AuthBase):
    """Signs each request with a token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class FormBody:
    """A form with one file, read piece by piece; it knows its length, so the server can show progress too."""

    def __init__(self, boundary: str, field: str, file: Path, fields: dict[str, str], report: Report) -> None:
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        name = file.name.replace('"', "_")
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode("utf-8")
        self._tail = f"\r\n--{boundary}--\r\n".encode("ascii")
        self._file = file.open("rb")
        self._size = file.stat().st_size
        self._length = len(self._head) + self._size + len(self._tail)
        self._sent = 0
        self._report = report

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; `size` is only a wish."""
        if self._head:
            block, self._head = self._head, b""
        else:
            block = b"" if self._file.closed else self._file.read(_CHUNK)
            if not block:
                self._file.close()
                block, self._tail = self._tail, b""
        self._sent += len(block)
        self._report(min(1.0, self._sent / self._length))
        return block


def _may_repeat(method: str, error: requests.RequestException) -> bool:
    """Tell whether nothing can have happened at the server, or nothing that a repetition would change."""
    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    refused = isinstance(error, requests.ConnectionError) and "NewConnectionError" in repr(error)
    return refused or (method in _REPEATABLE and isinstance(error, requests.ConnectionError))
