"""Inference over many studies."""

from collections.abc import Callable
from typing import Any

import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask

from brainmvp.errors import BrainMVPError


class BatchInference(BatchInferTask):
    """MONAI Label's batch inference, made to work without a GPU and to go on after a bad study."""

    def __call__(
        self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., dict[str, Any]]
    ) -> dict[str, Any]:
        """Return, by study id, the result of its inference, or `{"error": sentence}`."""

        def infer_or_say_why(one: dict[str, Any], store: Datastore) -> dict[str, Any]:
            try:
                return infer(one, store)
            except BrainMVPError as error:
                return {"error": str(error)}

        if not torch.cuda.is_available():  # the stock task divides by the number of GPUs
            request = request | {"multi_gpu": False, "device": "cpu"}
        return super().__call__(request, datastore, infer_or_say_why)
