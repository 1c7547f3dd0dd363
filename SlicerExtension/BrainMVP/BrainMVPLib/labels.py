"""Where a study's labels lie, and a draft that comes back from the server."""

from __future__ import annotations

from typing import Any

import slicer

from . import scene as ops
from .client import Draft
from .drawn import state_of
from .errors import ModuleError
from .labelmap import Labelmap, read_labelmap
from .segmentations import import_labels
from .session import Session

_SOURCE = "The draft"
_GEOMETRY = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()


def volume_of_labels(session: Session) -> Any:
    """Return the volume on whose grid the labels of the open study have to lie, or None.

    It is the one that the segmentation was made on, if the task's labels may lie on it: on another grid what is drawn
    beyond that volume, or between its slices, is lost. Else it is the one that the server names, unless it is left
    empty.
    """
    state = session.state
    drawn_on = _drawn_on(session)
    if drawn_on is not None:
        return drawn_on
    named = [
        node
        for node in ops.nodes_of(session.scene, "vtkMRMLScalarVolumeNode")
        if state.reference
        and state.reference not in state.left_empty
        and node.GetAttribute(ops.STUDY) == state.study_name
        and node.GetAttribute(ops.SEQUENCE) == state.reference
    ]
    drawn = session.reference(session.drawn_task)
    return named[0] if named else drawn and drawn[1]


def made_on(segmentation: Any) -> Any:
    """Return the volume whose grid a segmentation was given when it was made, or None where it is gone."""
    return segmentation.GetNodeReference(_GEOMETRY)


def _drawn_on(session: Session) -> Any:
    """Return the volume that the segmentation was made on, if it is one of the study's that labels may lie on."""
    state, task = session.state, session.drawn_task
    if state.segmentation is None or task is None:
        return None
    node = made_on(state.segmentation)
    if node is None or node.GetImageData() is None:
        return None
    if state.from_server:  # another volume may have been chosen since: of that the server knows nothing
        known = node.GetAttribute(ops.STUDY) == state.study_name
        sequence = node.GetAttribute(ops.SEQUENCE) if known else None
    else:
        chosen = session.chosen_volumes(task)
        sequence = next((each for each, volume in chosen.items() if volume is node), None)
    return node if sequence in task.reference else None


def show_draft(session: Session, draft: Draft) -> None:
    """Bring the draft of the open study into the scene, to go on with; raises `ModuleError` if it does not fit."""
    state = session.state
    model = draft.notes.get("model")
    state.task = str(draft.notes.get("task") or "")
    task, reference = session.drawn_task, volume_of_labels(session)
    if task is None or reference is None:
        raise ModuleError(
            "The draft is of a model that is not known here; connect to the server that has it."
        )
    chosen = session.chosen_volumes(task)
    others = [chosen[sequence] for sequence in task.reference if sequence in chosen]
    labels, reference = _on_its_grid(draft, [reference, *others])
    state.reference = reference.GetAttribute(ops.SEQUENCE) or state.reference
    title = f"{state.study_name} {task.title}"
    segmentation = import_labels(session.scene, labels, task.table, reference, title, _SOURCE)
    ops.mark(segmentation, state.study_name, "segmentation")
    segmentation.SetAttribute(ops.SENT, state_of(segmentation))
    state.set_segmentation(segmentation.GetID())
    state.task = task.name
    facts = {"model": model, "sequences_used": draft.notes.get("sequences")}
    state.facts = {name: value for name, value in facts.items() if value}


def _on_its_grid(draft: Draft, volumes: list[Any]) -> tuple[Labelmap, Any]:
    """Return a draft and the volume it lies on: not the first one, if it was begun when the study had less."""
    refused: ModuleError | None = None
    for volume in volumes:
        shape = volume.GetImageData().GetDimensions()[::-1]
        try:
            labels = read_labelmap(draft.file, ops.affine(volume), shape, _SOURCE, volume.GetName())
        except ModuleError as error:
            refused = refused or error
        else:
            return labels, volume
    raise refused
