"""The routes of the annotation loop: next study, skip, give back, earlier labels."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance

from brainmvp_app.annotator import annotator_of
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_tag

Annotator = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))]
Reader = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]
Body = dict[str, Any] | None

_LONGEST_REASON = 1000


def make_annotation_router() -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["Annotation"])
    router.add_api_route("/activelearning/{strategy}", next_study, methods=["POST"])
    router.add_api_route("/studies/skip", skip_study, methods=["POST"])
    router.add_api_route("/studies/release", release_study, methods=["POST"])
    router.add_api_route("/datastore/label/version", label_version, methods=["GET"])
    return router


def next_study(user: Reader, strategy: str, params: Body = None) -> dict[str, Any]:
    """Reserve the next study for `annotator` and return it with the reason; `{}` if none is left."""
    request = params or {}
    asked = {
        "strategy": strategy,
        "task": request.get("task"),
        "annotator": annotator_of(request, user.username),
    }
    return app_instance().next_sample(asked)


def skip_study(user: Annotator, image: str, body: Body = None) -> dict[str, str]:
    """Put a study behind all others, with the reason."""
    request = body or {}
    reason = request.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise RefusedError(400, f"reason has to be a text of at most {_LONGEST_REASON} characters.")
    return {"skipped": app_instance().skip(image, annotator_of(request, user.username), reason)}


def release_study(user: Annotator, image: str, body: Body = None) -> dict[str, str]:
    """Give a study back before its time is up."""
    return {"released": app_instance().release(image, annotator_of(body or {}, user.username))}


def label_version(user: Reader, image: str, version: int, tag: str = "final") -> FileResponse:
    """Send a label that was replaced; `GET /datastore/label/info` lists them."""
    store = app_instance().datastore()
    study = store.study(image).id
    path = store.label_versions.file(check_tag(tag), study, version)
    return FileResponse(path, filename=f"{study}_{tag}_{path.name}")
