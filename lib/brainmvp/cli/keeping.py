"""What a finished run made goes into the model store once, however often its command is given again; its use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainmvp.files import write_json

if TYPE_CHECKING:
    from brainmvp.card import Card
    from brainmvp.modelstore import Model, ModelStore

_NOTE = "stored.json"


def keep_once(out: Path, mark: Any, store: "ModelStore", add: Callable[[], "Model"]) -> "Model":
    """Return the version that the run in `out` was stored as; else `add` it, and note that in the run folder.

    mark: JSON-ready, tells what was stored: with another one, or another store, it is stored again.
    """
    note = {"mark": mark, "store": str(store.root)}
    try:
        known = json.loads((out / _NOTE).read_text("utf-8"))
        if {key: known[key] for key in note} == note:
            return store.resolve(known["model"])
    # Not stored yet, or the version is gone (`BrainMVPError`).
    except (OSError, ValueError, KeyError, TypeError):
        pass
    model = add()
    write_json(out / _NOTE, note | {"model": model.card.id})
    return model


def use_of(card: "Card") -> str:
    """Return how a stored model is used, in a line to be typed."""
    if card.kind == "classification":
        command = f"classify PATIENT --task {card.task} --model {card.id}"
    elif card.task:
        command = f"segment PATIENT --task {card.task} --model {card.id} --out RESULT.nii.gz"
    else:
        command = f"finetune TASK INDEX --from {card.id} --out RUN"
    return f"Use it: brainmvp {command}"
