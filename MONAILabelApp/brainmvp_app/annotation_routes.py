"""The routes of the annotation loop: next study, reserve, skip, give back, earlier labels."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance

from brainmvp_app.annotator import annotator_of
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_tag
from brainmvp_app.roles import Annotator, Reader

router = APIRouter(tags=["Annotation"])

Body = dict[str, Any] | None

_LONGEST_REASON = 1000


@router.post("/activelearning/{strategy}")
def next_study(user: Reader, strategy: str, params: Body = None) -> dict[str, Any]:
    """Reserve the next study for `annotator` and return it with the reason; `{}` if none is left.

    Where the others have all that are left, the answer has no `id`, and `why` says so.
    """
    request = params or {}
    asked = {
        "strategy": strategy,
        "task": request.get("task"),
        "annotator": annotator_of(request, user.username),
    }
    return app_instance().next_sample(asked)


@router.post("/studies/skip")
def skip_study(user: Annotator, image: str, body: Body = None) -> dict[str, str]:
    """Put a study behind all others, with the reason."""
    request = body or {}
    reason = request.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise RefusedError(400, f"reason has to be a text of at most {_LONGEST_REASON} characters.")
    return {"skipped": app_instance().skip(image, annotator_of(request, user.username), reason)}


@router.post("/studies/reserve")
def reserve_study(user: Annotator, image: str, body: Body = None) -> dict[str, str]:
    """Give a study to who works on it without having been proposed it."""
    return {"reserved": app_instance().reserve(image, annotator_of(body or {}, user.username))}


@router.post("/studies/release")
def release_study(user: Annotator, image: str, body: Body = None) -> dict[str, str]:
    """Give a study back before its time is up."""
    return {"released": app_instance().release(image, annotator_of(body or {}, user.username))}


@router.get("/datastore/label/version")
def label_version(user: Reader, image: str, version: int, tag: str = "final") -> FileResponse:
    """Send a label that was replaced; `GET /datastore/label/info` lists them."""
    store = app_instance().datastore()
    study = store.study(image).id
    path = store.label_versions.file(check_tag(tag), study, version)
    return FileResponse(path, filename=f"{study}_{tag}_{path.name}")
