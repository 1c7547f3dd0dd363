"""The HTTP routes that differ from MONAI Label's.

They have the stock paths, parameters and answers, and stand before the stock ones. All of them are plain functions,
which the server runs in worker threads: the stock ones are coroutines that block, so that during one inference no
other client would get an answer.
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from monailabel.endpoints import activelearning, batch_infer, datastore, infer, info, scoring, train
from monailabel.endpoints.infer import ResultType
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import remove_file

from brainmvp_app import (
    annotation_routes,
    event_routes,
    page_routes,
    train_routes,
    transfer_routes,
    version_routes,
)
from brainmvp_app.annotator import annotator_of
from brainmvp_app.classify import ClassificationTask
from brainmvp_app.errors import RefusedError
from brainmvp_app.ids import check_unicode
from brainmvp_app.incoming import received
from brainmvp_app.infer import DICOM_SEG
from brainmvp_app.roles import Admin, Annotator, Reader

Params = Annotated[str, Form()]
Upload = Annotated[UploadFile, File()]

_OURS = (page_routes, event_routes, annotation_routes, version_routes, transfer_routes, train_routes)
_STOCK = (infer, datastore, activelearning, info, batch_infer, train, scoring)
# What the path, the query and the uploads of a request say, its params may not say otherwise.
_FIXED = ("image", "model", "label", "session", "study", "description")
# What MONAI Label makes of params when it starts a process: module paths, and the GPUs that it sees.
_OF_THE_PROCESS = ("bundle_path", "gpus")
_NO_VIEWER = "There is no viewer here; use 3D Slicer, as the page at / says."
_CLOSED = {
    "/model/{rest:path}": "Models are kept in versions; use `brainmvp models` on the server.",
    "/session/{rest:path}": "There are no sessions; upload the study's sequences with PUT /datastore/image.",
    "/proxy/{rest:path}": "There is no way through to an archive; fetch images with GET /datastore/image.",
    "/infer/wsi/{rest:path}": "The models segment MRI studies, not slides; use /infer/MODEL.",
    "/infer/wsi_v2/{rest:path}": "The models segment MRI studies, not slides; use /infer/MODEL.",
    # MONAI Label's own pages run scripts of other sites, which could then read the studies; of its viewer, any path.
    "/docs": "The requests are described in MONAILabelApp/README.md, and in JSON at /openapi.json.",
    "/logs/{rest:path}": "The log is where the server was started; that of a training is in GET /train/.",
    "/ohif/{rest:path}": _NO_VIEWER,
    "/static/{rest:path}": _NO_VIEWER,
    "/reload": "Restart the server to load the app again.",
}


def make_router() -> APIRouter:
    """Return the routes, most particular first."""
    router = APIRouter()
    for path, sentence in _CLOSED.items():
        router.add_api_route(path, _closed(sentence), methods=["GET", "POST", "PUT", "DELETE"], name="closed")
    for module in _OURS:
        router.include_router(module.router)
    router.add_api_route("/infer/{model}", run_inference, methods=["POST"])
    # PUT /datastore/ is the old path, which MONAI Label's own client still uses.
    for path in ("/datastore/image", "/datastore/"):
        router.add_api_route(path, add_image, methods=["PUT"])
    router.add_api_route("/batch/infer/{model}", run_batch, methods=["POST"])
    router.add_api_route("/datastore/label", save_label, methods=["PUT"])
    router.add_api_route("/datastore/dataset", download_dataset, methods=["GET"])
    for module in _STOCK:
        for route in module.router.routes:
            if isinstance(route, APIRoute) and inspect.iscoroutinefunction(route.endpoint):
                router.add_api_route(
                    route.path, _in_worker_thread(route.endpoint), methods=list(route.methods)
                )
    return router


def run_inference(
    background_tasks: BackgroundTasks,
    user: Reader,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Params = "{}",
    file: Upload | None = None,
    label: Upload | None = None,
    output: ResultType | None = None,
) -> Any:
    """Segment a study of the datastore, by its id."""
    wishes = json_object(params)
    if file or label or session_id or not image:
        raise RefusedError(
            400,
            "Give the id of a study as image; one that is not here yet goes up with PUT /datastore/image.",
        )
    _refuse(wishes, _FIXED, "give image and model in the address")
    if output == ResultType.dicom_seg:
        output, params = ResultType.image, json.dumps(wishes | {"result_extension": DICOM_SEG})
    if output == ResultType.image and isinstance(app_instance()._infers.get(model), ClassificationTask):
        raise RefusedError(400, f"{model} gives probabilities, not an image; ask for output=json.")
    return infer.run_inference(background_tasks, model, image, "", params, None, None, output)


def run_batch(
    user: Admin,
    model: str,
    images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
    params: dict[str, Any] | None = None,
    run_sync: bool = False,
) -> Any:
    """Segment many studies and store the labels, in a process of its own unless `run_sync`."""
    wishes = {"save_label": True, "label_tag": DefaultLabelTag.ORIGINAL} if params is None else params
    _refuse(wishes, (*_FIXED, *_OF_THE_PROCESS), "the server decides that")
    return batch_infer.run(model, images, wishes, run_sync)


def add_image(
    user: Annotator,
    file: Upload,
    image: str = "",
    params: Params = "{}",
) -> dict[str, str]:
    """Store one sequence of a study; params may name it, `{"sequence": "FLAIR"}`, else the file's name has to.

    `annotator` in params has the study then, unless another one has.
    """
    if not image:
        raise RefusedError(400, "Give the id of the study as image; its sequences go up one by one.")
    notes = json_object(params) | {"user": user.username}
    with received(file.file, file.filename) as path:
        return {"image": app_instance().add_image(image, path, notes)}


def save_label(
    user: Annotator,
    label: Upload,
    image: str,
    params: Params = "{}",
    tag: str = DefaultLabelTag.FINAL.value,
) -> dict[str, Any]:
    """Store a label of a study under a tag; `replaced` names the other annotators whose label it takes the place of."""
    notes = json_object(params) | {"user": user.username}
    app, tag = app_instance(), tag or DefaultLabelTag.FINAL.value
    with received(label.file, label.filename) as path:
        others = app.datastore().replaced_by(image, tag, path, annotator_of(notes, user.username))
        label_id = app.submit(image, path, tag, notes, user.username)
    app.on_save_label(label_id, label_id)
    return {"image": image, "label": label_id} | ({"replaced": ", ".join(others)} if others else {})


def download_dataset(
    background_tasks: BackgroundTasks, user: Annotator, limit_cases: int | None = None
) -> Response:
    """Send the studies and labels as a ZIP file, which the stock route would leave on the server's disk."""
    archive = app_instance().datastore().get_dataset_archive(limit_cases)
    background_tasks.add_task(remove_file, archive)
    return FileResponse(archive, media_type="application/zip", filename="dataset.zip")


def json_object(text: str, field: str = "params") -> dict[str, Any]:
    """Return the JSON object in a form field; raises `RefusedError` (400) if it is none."""
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise RefusedError(400, f"{field} is not JSON ({error}).") from error
    check_unicode(value, field)
    if not isinstance(value, dict):
        raise RefusedError(400, f'{field} has to be a JSON object, such as {{"sequence": "FLAIR"}}.')
    return value


def _refuse(wishes: dict[str, Any], keys: Iterable[str], remedy: str) -> None:
    if named := [key for key in keys if key in wishes]:
        raise RefusedError(400, f"params may not set {', '.join(named)}; {remedy}.")


def _in_worker_thread(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    def run(**values: Any) -> Any:
        for field in ("params", "info"):  # forms; a JSON body has been checked already
            if isinstance(values.get(field), str):
                json_object(values[field], field)
        return asyncio.run(endpoint(**values))

    run.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]  # what FastAPI reads parameters from
    run.__name__ = endpoint.__name__
    return run


def _closed(sentence: str) -> Callable[[], None]:
    def refuse() -> None:
        raise RefusedError(403, sentence)

    return refuse
