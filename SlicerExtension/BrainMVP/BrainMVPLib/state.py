"""Everything the module remembers, in its parameter node: a saved scene reopens in the same place.

The token is not part of it, nor who works and whether labels train: a scene is sent to others.
"""

from __future__ import annotations

import json
from typing import Any

_VOLUME_ROLE = "BrainMVP.Volume."
_SEGMENTATION_ROLE = "BrainMVP.Segmentation"
_UNCERTAINTY_ROLE = "BrainMVP.Uncertainty"


class _Remembered:
    """A value that is kept as JSON in a parameter of the node."""

    def __init__(self, default: Any) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, state: State | None, owner: type) -> Any:
        if state is None:
            return self
        text = state.node.GetParameter(self._name)
        return json.loads(text) if text else self._default

    def __set__(self, state: State, value: Any) -> None:
        state.node.SetParameter(self._name, json.dumps(value))


class State:
    """The parameter node, with names and types.

    node: a `vtkMRMLScriptedModuleNode`. `study`: its id at the server, empty where it is known only here; `server`:
    the address of the server that knows it; `study_name`: the mark of its nodes, empty where it is made of the
    user's own; `from_server`: whether its volumes were downloaded; `series`: what the server says of each series of
    a DICOM study; `reference`: the sequence on whose grid the server wants the study's labels; `left_empty`:
    sequences that the user wants without a volume; `facts`: what the server said of the last result; `proposal`: its
    label map, packed by `measure.pack`; `task`: the name of what the segmentation is of; `opened`: when the study was
    opened, seconds since 1970; `answered`: whether the server got a label of it, or a reason to skip it; `layout`:
    the view arrangement before the comparison; `compared`: whether the sequences are to be shown side by side.
    """

    url = _Remembered("http://127.0.0.1:8000")
    strategy = _Remembered("")
    model = _Remembered("tumour")
    study = _Remembered("")
    server = _Remembered("")
    study_name = _Remembered("")
    from_server = _Remembered(False)
    why = _Remembered("")
    series = _Remembered([])
    reference = _Remembered("")
    left_empty = _Remembered([])
    facts = _Remembered({})
    task = _Remembered("")
    proposal = _Remembered("")
    opened = _Remembered(0.0)
    answered = _Remembered(False)
    layout = _Remembered(-1)
    compared = _Remembered(False)

    def __init__(self, node: Any) -> None:
        self.node = node

    def has(self, name: str) -> bool:
        """Tell whether the node remembers a value, or has it by default."""
        return bool(self.node.GetParameter(name))

    def volume(self, sequence: str) -> Any:
        """Return the volume node that was chosen for a sequence, or None."""
        return self.node.GetNodeReference(_VOLUME_ROLE + sequence)

    def set_volume(self, sequence: str, node_id: str | None) -> None:
        """Choose a volume for a sequence, or none."""
        self.node.SetNodeReferenceID(_VOLUME_ROLE + sequence, node_id)

    @property
    def segmentation(self) -> Any:
        """The segmentation node that is worked on, or None."""
        return self.node.GetNodeReference(_SEGMENTATION_ROLE)

    def set_segmentation(self, node_id: str | None) -> None:
        """Choose the segmentation that is worked on."""
        self.node.SetNodeReferenceID(_SEGMENTATION_ROLE, node_id)

    @property
    def uncertainty(self) -> Any:
        """The volume node of the uncertainty, or None."""
        return self.node.GetNodeReference(_UNCERTAINTY_ROLE)

    def set_uncertainty(self, node_id: str | None) -> None:
        """Remember the volume of the uncertainty."""
        self.node.SetNodeReferenceID(_UNCERTAINTY_ROLE, node_id)

    def forget_study(self) -> None:
        """Forget everything about the study; server, strategy and model stay."""
        roles: list[str] = []
        self.node.GetNodeReferenceRoles(roles)
        for role in roles:
            if role.startswith("BrainMVP."):
                self.node.SetNodeReferenceID(role, None)
        for name in (
            "study",
            "server",
            "study_name",
            "from_server",
            "why",
            "series",
            "reference",
            "left_empty",
            "facts",
            "task",
            "proposal",
            "opened",
            "answered",
        ):
            self.node.UnsetParameter(name)
