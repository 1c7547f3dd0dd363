"""The routes of the model versions, and of the history of the annotation."""

from typing import Any

from fastapi import APIRouter
from monailabel.interfaces.utils.app import app_instance

from brainmvp.annotation.history import history
from brainmvp.annotation.versions import compare_versions, describe_all, describe_one
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp_app.errors import RefusedError
from brainmvp_app.roles import Annotator, Reader

router = APIRouter(tags=["Versions"])


@router.get("/models")
def list_versions(user: Reader) -> list[dict[str, Any]]:
    """Return every model version with its Dice on the held-out studies."""
    return describe_all(ModelStore(), app_instance().state)


@router.post("/models/{name}/serve")
def serve_version(user: Annotator, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Serve a version from the next request on; inferences that run end with the version they began with."""
    version = body.get("version")
    if isinstance(version, bool) or not isinstance(version, int):
        raise RefusedError(400, 'Name the version to serve, such as {"version": 2}.')
    app, store = app_instance(), ModelStore()
    model = _version(name, version)
    store.serve(name, version)
    before = store.before(name)
    detail = {"model": model.card.id, "before": before and f"{name}@{before}", "by": user.username}
    app.state.journal.add("served", task=model.card.task, detail=detail)
    return describe_one(model, app.state)


@router.get("/models/{name}/compare")
def compare(user: Reader, name: str, a: int, b: int) -> dict[str, Any]:
    """Return two versions side by side, with their Dice on each held-out study."""
    return compare_versions(_version(name, a), _version(name, b), app_instance().state)


@router.get("/progress")
def progress(user: Reader) -> dict[str, Any]:
    """Return the history of the annotation."""
    return history(app_instance().datastore().root)


def _version(name: str, version: int) -> Model:
    try:
        return ModelStore().get(name, version)
    except BrainMVPError as error:
        known = ModelStore().versions(name)
        raise (error if version in known else RefusedError(404, str(error))) from error
