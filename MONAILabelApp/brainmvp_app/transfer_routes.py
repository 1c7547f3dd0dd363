"""The routes that spare a client time: checksums, copies, the progress of an inference, uncertainty on demand."""

from typing import Any

from fastapi import APIRouter
from fastapi.background import BackgroundTasks
from fastapi.responses import FileResponse, Response
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import remove_file

from brainmvp.files import digest_of
from brainmvp.volume import write_volume
from brainmvp_app.errors import RefusedError
from brainmvp_app.recent import Recent
from brainmvp_app.roles import Annotator, Reader
from brainmvp_app.temporary import written

router = APIRouter(tags=["Transfers"])


@router.get("/datastore/image/checksum")
def checksum(user: Reader, image: str) -> dict[str, Any]:
    """Return the SHA-256 and the size of an image's file, so that a client sends only what is not here yet."""
    study, sequence = app_instance().datastore().find(image)
    path = study.images[sequence]
    return {"image": image, "sha256": digest_of(path), "bytes": path.stat().st_size}


@router.put("/datastore/image/copy")
def copy_image(
    user: Annotator, image: str, sequence: str, source: str, copy_of: str = "", annotator: str = ""
) -> dict[str, str]:
    """Store an image that is here, `source`, as a sequence of the study `image`, so that nobody sends it again.

    copy_of: the study of which `image` is a changed copy; annotator: who has it then, unless another one has.
    """
    study, found = app_instance().datastore().find(source)
    said = {"copy_of": copy_of, "annotator": annotator}
    notes = {"sequence": sequence, "user": user.username} | {key: text for key, text in said.items() if text}
    return {"image": app_instance().add_image(image, study.images[found], notes)}


@router.get("/infer/{model}/progress")
def progress(user: Reader, model: str, image: str) -> dict[str, Any]:
    """Return `step` and `fraction` of the inference that runs on an image; nothing where none does."""
    step = _recent(model).step(image)
    return {"step": step[0], "fraction": step[1]} if step else {}


@router.get("/uncertainty/{model}")
def uncertainty(user: Reader, background_tasks: BackgroundTasks, model: str, image: str) -> Response:
    """Return the uncertainty of the last result on an image, as NIfTI on the same grid."""
    kept = _recent(model).uncertainty(image)
    if kept is None:
        raise RefusedError(
            404, f"No result of {model} on {image} is kept here any more; segment it again first."
        )
    version, used, volume = kept
    file = written("brainmvp-uncertainty-", ".nii.gz", lambda path: write_volume(volume, path))
    background_tasks.add_task(remove_file, str(file))
    headers = {"X-BrainMVP-Model": version, "X-BrainMVP-Sequences": " ".join(used)}
    return FileResponse(file, media_type="application/gzip", filename="uncertainty.nii.gz", headers=headers)


def _recent(model: str) -> Recent:
    task = app_instance()._infers.get(model)
    if task is None:
        raise RefusedError(404, f"There is no model {model!r}.")
    return task.recent
