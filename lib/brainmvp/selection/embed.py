"""A study as a short vector, by an encoder."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.card import Card
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.networks import build_encoder
from brainmvp.prepare import prepare
from brainmvp.study import Study


class Embedder:
    """An encoder that describes studies; `id` names its version.

    The encoder that was pretrained here where there is one, else the encoder inside a segmentation model.
    """

    def __init__(self, model: Model, device: str | torch.device = "cpu") -> None:
        self.card: Card = model.card
        self.id = model.card.id
        self.device = torch.device(device)
        self.encoder = _encoder(model).to(self.device)

    @torch.inference_mode()
    def embed(self, study: Study) -> np.ndarray:
        """Return (D,) float32 of length 1; see `describe`.

        Raises `BrainMVPError` if a file of the study cannot be used.
        """
        present = tuple(sequence for sequence in self.card.sequences if sequence in study.images)
        if not present:
            raise BrainMVPError(f"{study.id} has none of the sequences of {self.id}; add one of them.")
        sequences = present if self._one_by_one else self.card.sequences
        return self.describe(prepare(study, sequences, present[0], self.card.spacing).images)

    @torch.inference_mode()
    def describe(self, images: Tensor) -> np.ndarray:
        """Return (D,) float32 of length 1 of prepared images (C, X, Y, Z), zero outside the brain.

        It holds means and maxima of the deepest feature, over the brain. An encoder of one channel sees the sequences
        one by one; the vector is then the mean of theirs.
        """
        images = images.to(self.device)
        parts = images[:, None] if self._one_by_one else images[None]
        vectors = [embedding(self.encoder, part, self.card.network.stride) for part in parts]
        mean = np.mean(vectors, axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)

    @property
    def _one_by_one(self) -> bool:
        return self.card.network.in_channels == 1


def embedding(encoder: nn.Module, images: Tensor, stride: int) -> np.ndarray:
    """Return the vector of prepared images (C, X, Y, Z), zero outside the brain; see `Embedder.describe`."""
    padding = [part for size in reversed(images.shape[1:]) for part in (0, -size % stride)]
    padded = functional.pad(images, padding)[None]
    feature = encoder(padded.contiguous(memory_format=torch.channels_last_3d))[-1]
    inside = functional.adaptive_max_pool3d((padded != 0).any(1, keepdim=True).float(), feature.shape[2:]) > 0
    values = feature[0][:, inside[0, 0]].float()
    pooled = torch.cat([values.mean(1), values.amax(1)])
    return functional.normalize(pooled, dim=0).cpu().numpy()


def choose_encoder(store: ModelStore, task: str) -> Model:
    """Return the newest own pretrained encoder that sees a sequence of the task, else the served model of the task.

    Not the built-in encoder, unless the served network has none inside: it knows alike studies less well than a
    built-in segmentation model, in four times the time (`benchmarks/embedding.py`).
    """
    served = store.resolve(task)
    wanted = set(served.card.sequences)
    encoders = [
        model
        for model in store.models()
        if model.card.kind == "encoder"
        and not model.built_in
        and wanted & set(model.card.sequences)
        and model.card.network.in_channels in (1, len(model.card.sequences))
    ]
    inside = served if served.card.network.has_encoder else store.resolve("encoder")
    return max(encoders, key=lambda m: (m.card.created, m.card.version), default=inside)


def _encoder(model: Model) -> nn.Module:
    if model.card.kind == "segmentation":
        return model.load_network().encoder
    encoder = build_encoder(model.card.network)
    own = encoder.state_dict()
    weights = {key.removeprefix("encoder."): value for key, value in model.load_weights().items()}
    encoder.load_state_dict({key: weights[key] for key in own})
    return encoder.eval()
