"""What is refused before anything of it is read: web pages that are not listed, and what is too large."""

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No head scan that is read here is larger as a file; without a bound an upload could fill the server's disk.
MOST_BYTES = 2**31
# A page cannot keep its browser from sending one of these; 3D Slicer, Python and curl send none of them.
_BROWSERS_SAY = ("origin", "accept-language", "sec-fetch-site")
# What browsers say of pictures, frames and links of another page, which have no origin: over HTTPS, and to their own
# computer.
_ELSEWHERE = ("cross-site", "same-site")
_EMBEDDED = "Another page had the browser ask for this; open the address itself, or list that page with --allow-origin."


class Guard:
    """Stands before all routes.

    CORS alone keeps a page of another origin from reading answers, not from sending a form that starts a training.
    A program that is no browser sends no origin and is let through; so are the pages of the server's own address,
    whichever scheme a proxy before it speaks. That address must not be a name of the internet: a page could have let
    its own name point here, and would then be one of the server's (DNS rebinding).
    origins: of the pages that may call the server, besides its own; names: of the server, in small letters.
    """

    def __init__(
        self, app: ASGIApp, origins: list[str], names: Iterable[str] = (), most_bytes: int = MOST_BYTES
    ) -> None:
        self._app = app
        self._origins = origins
        self._pages = tuple(f"{origin}/" for origin in origins)
        self._names = {*names, *(urlsplit(origin).hostname for origin in origins)}
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it: 403 for a page that is not listed, 413 for a body that is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if sentence := self._refusal(scope, headers):
            await JSONResponse({"detail": sentence}, 403)(scope, receive, send)
        elif length.isdecimal() and int(length) > self._most:
            await self._too_large()(scope, receive, send)
        else:
            await self._counting(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        """Return why a page may not send a request, or None."""
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin in self._origins:
            return None
        if origin and origin.partition("://")[2] != host:
            return _not_listed(origin)
        if not origin and headers.get("sec-fetch-site") in _ELSEWHERE and not self._may_link(scope, headers):
            return _EMBEDDED
        here = _address((scope.get("server") or ("", 0))[0])
        if here is not None and here.is_loopback:
            return _renamed(host) if self._is_foreign(host) else None
        if any(header in headers for header in _BROWSERS_SAY) and self._is_foreign(host):
            return _unknown(f"{scope.get('scheme', 'http')}://{host[:100]}")
        return None

    def _may_link(self, scope: Scope, headers: Headers) -> bool:
        """Tell whether a page may send its browser to an address: one that is listed, or any to the server's page."""
        listed = headers.get("referer", "").startswith(self._pages)
        return listed or (scope["path"] == "/" and headers.get("sec-fetch-dest") == "document")

    def _is_foreign(self, host: str) -> bool:
        """Tell whether a host is called by a name that anybody could own: one with a dot, none of the server's."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:  # half an address in brackets
            return True
        return "." in name and _address(name) is None and name not in self._names

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; if more comes than allowed (a client need not state a length), it ends there."""
        came, over, answered = 0, False, False

        async def counted() -> Message:
            nonlocal came, over
            message = await receive()
            came += len(message.get("body", b""))
            over = over or (came > self._most and not answered)
            return {"type": "http.disconnect"} if over else message

        async def answer(message: Message) -> None:
            nonlocal answered
            if not over:
                answered = True
                await send(message)

        try:
            await self._app(scope, counted, answer)
        except Exception:
            if not over:
                raise
        if over:
            await self._too_large()(scope, receive, send)

    def _too_large(self) -> JSONResponse:
        sentence = f"A request may have {self._most / 2**30:g} GiB at most; send a smaller file."
        return JSONResponse({"detail": sentence}, 413)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(name)
    return None


def _renamed(host: str) -> str:
    return (
        f"This server listens to its own computer, and was called {host[:100]}; call it localhost, or, behind a proxy, "
        f"start it with --allow-origin https://{host[:100]}."
    )


def _unknown(address: str) -> str:
    return (
        f"This server does not know {address} as its own address; open it by its IP address, or start it with "
        f"--allow-origin {address}."
    )


def _not_listed(origin: str) -> str:
    if origin == "null":
        return "A page that was opened as a file, or in a sandbox, may not call this server; serve it from an address."
    return f"Pages of {origin[:100]} may not call this server; start it with --allow-origin {origin[:100]}."
