"""The routes of training: MONAI Label's, with checks before the start, progress, and a stop that keeps the work."""

import time
from typing import Any

from fastapi import APIRouter, HTTPException
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import tasks

from brainmvp.annotation.status import TrainingFile
from brainmvp_app.errors import RefusedError
from brainmvp_app.roles import Annotator, Reader
from brainmvp_app.training import start_training, training_progress, training_task

router = APIRouter(tags=["Train"])

# A step and the saving of its state take less, a slow disk apart; then the process is ended, and resumes at its last
# checkpoint.
_STOP_SECONDS = 60.0


@router.post("/train/{model}")
def train(user: Annotator, model: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Start a training of a model, or go on with one that was stopped."""
    app = app_instance()
    trainer = app.trainers().get(model)
    if trainer is None:
        raise RefusedError(404, f"There is no training for {model!r}; use {', '.join(app.trainers())}.")
    return start_training(trainer, app.state, params or {})


@router.get("/train/")
def training_status(user: Reader, all: bool = False, check_if_running: bool = False) -> Any:
    """Return the last training of this server with its log, and `progress`, also of a server before this one."""
    status, detail = AsyncTask.status("train", all, check_if_running)
    if check_if_running and status is None:
        raise HTTPException(404, detail)
    if all:
        return status or []
    return (status or {"status": "IDLE"}) | {"progress": training_progress(app_instance().state)}


@router.delete("/train/")
def stop_training(user: Annotator) -> dict[str, Any] | None:
    """Stop the training after its step; what it learned is kept, and it goes on from there when started again."""
    file = TrainingFile(app_instance().state.studies)
    if not file.running() and not training_task():
        return None
    file.ask_to_stop()
    end = time.monotonic() + _STOP_SECONDS
    while training_task() and time.monotonic() < end:
        time.sleep(0.1)
    stopped = AsyncTask.stop("train")
    if stopped is None:
        stopped = next(iter(tasks("train")[-1:]), None)
        if stopped:
            stopped["status"] = "STOPPED"
    return stopped
