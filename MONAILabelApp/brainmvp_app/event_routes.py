"""What goes on at the server, pushed to whoever listens: server-sent events, as browsers' `EventSource` reads them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from monailabel.interfaces.utils.app import app_instance
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from brainmvp_app import server
from brainmvp_app.roles import Reader
from brainmvp_app.training import training_progress

router = APIRouter(tags=["Events"])

_LOOK_SECONDS = 0.3
# Something is sent at least so often, for proxies that close what is silent.
_SILENCE_SECONDS = 10.0
# Then the client asks again, which `EventSource` does by itself: the stock command waits for its clients to leave.
_LONGEST_SECONDS = 60.0


@router.get("/events")
def events(user: Reader) -> StreamingResponse:
    """Send `training` (as `progress` of GET /train/) and `inferences` (what runs now): at first, and at each change."""
    return StreamingResponse(_stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _stream() -> AsyncIterator[str]:
    end = time.monotonic() + _LONGEST_SECONDS
    sent: dict[str, str] = {}
    spoken = time.monotonic()
    while time.monotonic() < end and not server.stopping():
        for name, value in (await run_in_threadpool(_state)).items():
            if sent.get(name) != value:
                sent[name], spoken = value, time.monotonic()
                yield f"event: {name}\ndata: {value}\n\n"
        if time.monotonic() - spoken > _SILENCE_SECONDS:
            spoken = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(_LOOK_SECONDS)


def _state() -> dict[str, str]:
    app = app_instance()
    running: list[dict[str, Any]] = [
        {"model": model, "image": image, "step": step, "fraction": fraction}
        for model, task in app._infers.items()
        for image, (step, fraction) in task.recent.steps().items()
    ]
    return {
        "training": json.dumps(training_progress(app.state)),
        "inferences": json.dumps(running),
    }
