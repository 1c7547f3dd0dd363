"""The app's rules for MONAI Label's web server: its routes, errors as JSON, and which web pages may call it."""

import errno
import logging
import os

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse

from brainmvp.errors import BrainMVPError
from brainmvp_app.errors import status_of
from brainmvp_app.guard import Guard
from brainmvp_app.routes import make_router
from brainmvp_app.server import own_names

logger = logging.getLogger(__name__)

# No space, no quota, a file larger than the system allows this process.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def install(server: FastAPI, studies: str) -> None:
    """Put the rules into force on the running server.

    MONAI Label creates the app only when its server starts, too late for `add_middleware`. So the handlers are
    registered as usual, and the server is told to build its middleware again, which it does at the next request.
    """
    server.include_router(make_router())
    server.router.routes.insert(0, server.router.routes.pop())  # before the stock routes of the same paths

    def refuse(request: Request, error: Exception) -> JSONResponse:
        sentence = getattr(error, "msg", None) or str(error)
        return _answer(status_of(error), sentence.replace(f"{studies}{os.sep}", ""))

    server.add_exception_handler(BrainMVPError, refuse)
    server.add_exception_handler(MONAILabelException, refuse)
    server.add_exception_handler(RequestValidationError, _malformed)
    server.add_exception_handler(OSError, _disk)
    server.add_exception_handler(Exception, _fault)
    server.user_middleware[:] = [m for m in server.user_middleware if m.cls is not CORSMiddleware]
    # The stock settings end an origin with a slash, browsers do not.
    origins = [str(origin).rstrip("/") for origin in settings.MONAI_LABEL_CORS_ORIGINS]
    if origins:  # outside the guard, so that a listed page can read why it was refused
        server.user_middleware.append(_allowed_pages(origins))
    server.user_middleware.append(Middleware(Guard, origins=origins, names=own_names()))
    server.middleware_stack = None


def _allowed_pages(origins: list[str]) -> Middleware:
    """Return the CORS rules for some origins; the stock ones let every web page read the studies where none is set."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
    )


def _malformed(request: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = " ".join(str(part) for part in first.get("loc", ()))
    return _answer(422, f"The request is malformed: {place}: {first.get('msg', 'unreadable')}.")


def _disk(request: Request, error: Exception) -> JSONResponse:
    if (isinstance(error, OSError) and error.errno in _FULL) or "is full" in str(error):
        return _answer(507, "The server's disk is full; free some space, then send it again.")
    logger.error("%s", error, exc_info=error)
    return _fault(request, error)


def _fault(request: Request, error: Exception) -> JSONResponse:
    # The server logs the traceback itself.
    return _answer(
        500, f"The server failed at {request.url.path} ({type(error).__name__}); its log says more."
    )


def _answer(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)
