"""From a study to its segmentation on the reference's own grid."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainmvp.brain import BUILT_IN
from brainmvp.calibration import temper
from brainmvp.cleaning import fill_enclosed, without_film, without_specks
from brainmvp.clock import Clock
from brainmvp.coverage import is_cut
from brainmvp.device import pick_device
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, ModelStore
from brainmvp.prepare import EVENED, Prepared, prepare
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, put_back
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.uncertainty import voxel_uncertainty
from brainmvp.volume import Volume

# The encoders halve the grid four times.
_STRIDE = 16
# Of the working grid: smaller pieces of a structure inside a finding are noise; larger ones may be all that enhances of
# a small metastasis.
_SPECK_VOXELS = 2

Progress = Callable[[str, float], None]


class Segmenter:
    """A model version, ready to segment studies; safe to share between threads."""

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        brain: str = BUILT_IN,
        even_out: tuple[Sequence, ...] = EVENED,
    ) -> None:
        """brain: who finds it where the skull is still there, one of `brain.CHOICES`; even_out: as in `prepare`."""
        if model.card.kind != "segmentation" or model.card.task is None:
            raise BrainMVPError(
                f"{model.card.id} is no segmentation model ({model.card.kind}); choose another."
            )
        self.card = model.card
        self._prepare = partial(prepare, brain_tool=brain, even_out=even_out)
        self.task = get_task(model.card.task)
        model.check_outputs(self.task.outputs)
        self.device = pick_device(device)
        self._temperatures = torch.tensor(
            [self.card.temperatures.get(name, 1.0) for name in self.card.regions]
        )
        self.network = model.load_network().to(self.device, memory_format=torch.channels_last_3d)

    @classmethod
    def load(
        cls,
        task: str,
        model: str | None = None,
        device: str = "auto",
        store: ModelStore | None = None,
        brain: str = BUILT_IN,
    ) -> "Segmenter":
        """Return the segmenter of a task, with its served model or the one named (`NAME` or `NAME@VERSION`).

        Raises `BrainMVPError` if there is no such task or model, or the model is of another task.
        """
        get_task(task)
        return cls((store or ModelStore()).resolve_for(task, model), device, brain)

    def prepare(
        self, study: Study, reference: Sequence | None = None, clock: Clock | None = None
    ) -> Prepared:
        """Return a study as the network sees it; raises as `segment` does."""
        available = set(study.images) & set(self.card.sequences)
        self.task.check_sequences(available, study.id, study.unusable)
        chosen = study.reference(self.task, reference)
        prepared = self._prepare(study, self.card.sequences, chosen, self.card.spacing, clock=clock)
        self.task.check_sequences(set(prepared.used), study.id, prepared.flagged)
        return prepared

    def segment(
        self,
        study: Study,
        reference: Sequence | None = None,
        progress: Progress | None = None,
        prepared: Prepared | None = None,
    ) -> Segmentation:
        """Segment a study.

        Missing sequences are filled with zeros and named in the result; a structure whose sequences are not there
        is left out. `progress(step, fraction)` is called as the work goes on; prepared: what `prepare` returned for the
        study, if that was done before; it has the reference, too. Raises `BrainMVPError` if the study is below the
        task's minimum or a file cannot be used.
        """
        tell = progress or (lambda step, fraction: None)
        clock = Clock()

        tell("Reading and aligning", 0.0)
        prepared = prepared or self.prepare(study, reference, clock)
        regions, left_out = self.task.offered(set(prepared.used), prepared.flagged)

        tell("Segmenting", 0.3)
        with torch.inference_mode():
            logits = predict_logits(self.network, prepared.images, self.card.window, self.card.overlap)
            probabilities = temper(logits, self._temperatures).numpy()
        probabilities[:, ~prepared.brain] = 0
        clock.lap("network")

        tell("Returning to the native grid", 0.8)
        offered = [self.card.regions.index(region.name) for region in regions]
        target = Grid(prepared.reference.shape, prepared.reference.affine)
        native = put_back(probabilities[offered], prepared.grid, target)
        self.task.settle(native)
        by_region = {region.name: native[index] for index, region in enumerate(regions)}
        labels = self._labels(by_region, prepared.reference)
        uncertainty = voxel_uncertainty(native)
        clock.lap("restore")
        tell("Done", 1.0)
        return Segmentation(
            study, self.task, self.card.id, labels, by_region, uncertainty, prepared.reference_sequence,
            prepared.used, prepared.filled, left_out, self.task.label_names(list(by_region)), prepared.found,
            clock.seconds, clock.peak_gib, prepared.alignments, is_cut(labels.data > 0, prepared.reference),
            self.card.weakness(prepared.used), self._smallest_ml(prepared.reference),
        )  # fmt: skip

    def _smallest_ml(self, reference: Volume) -> float:
        """Return the volume from which a piece is marked, 0 where one voxel is enough."""
        smallest = self.card.minimum_lesion_ml
        return smallest if smallest > reference.voxel_ml else 0.0

    def _labels(self, probabilities: dict[str, np.ndarray], reference: Volume) -> Volume:
        masks = {name: values > self.card.thresholds.get(name, 0.5) for name, values in probabilities.items()}
        for outer, region in pairwise(self.task.regions):
            if region.filled and region.name in masks:
                masks[region.name] = fill_enclosed(masks[region.name], reference.spacing)
                if outer.name in masks:
                    masks[outer.name] |= masks[region.name]
        for region, rim in pairwise(self.task.regions):
            if region.filled and {region.name, rim.name} <= masks.keys():
                masks[region.name] = without_film(masks[region.name], masks[rim.name], reference.spacing)
        if smallest := self._smallest_ml(reference):
            outermost, *inner = masks
            masks[outermost] = without_specks(masks[outermost], smallest / reference.voxel_ml)
            speck = min(smallest, _SPECK_VOXELS * self.card.spacing**3 / 1000)
            for name in inner if self.task.nested else ():
                masks[name] = without_specks(masks[name], speck / reference.voxel_ml)
        return Volume(self.task.labels_of(masks), reference.affine)


def predict_logits(
    network: nn.Module, images: Tensor, window: tuple[int, int, int], overlap: float
) -> Tensor:
    """Return the logits (R, X, Y, Z) float32, on the CPU, of prepared images (C, X, Y, Z), window by window.

    The network stays on its device; images smaller than the window are padded to its stride only.
    """
    device = next(network.parameters()).device
    inputs = images[None].to(device, torch.float32).contiguous(memory_format=torch.channels_last_3d)
    edges = [min(w, -(-n // _STRIDE) * _STRIDE) for w, n in zip(window, images.shape[1:], strict=True)]
    fits = all(n <= edge for n, edge in zip(images.shape[1:], edges, strict=True))
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = _in_one(network, inputs, edges) if fits else _in_windows(network, inputs, edges, overlap)
    return logits[0].float().cpu()


def _in_one(network: nn.Module, inputs: Tensor, edges: list[int]) -> Tensor:
    """Return the logits of images no larger than a window, which they lie in the middle of."""
    before = [(edge - n) // 2 for n, edge in zip(inputs.shape[2:], edges, strict=True)]
    after = [edge - n - first for n, edge, first in zip(inputs.shape[2:], edges, before, strict=True)]
    pads = [pad for pair in zip(reversed(before), reversed(after), strict=True) for pad in pair]
    logits = network(functional.pad(inputs, pads))
    inside = [slice(first, first + n) for n, first in zip(inputs.shape[2:], before, strict=True)]
    return logits[:, :, *inside]


def _in_windows(network: nn.Module, inputs: Tensor, edges: list[int], overlap: float) -> Tensor:
    # Loaded here alone: MONAI needs longer to load, and more memory, than the built-in models to segment a study.
    from monai.inferers import sliding_window_inference

    return sliding_window_inference(inputs, edges, 1, network, overlap, mode="gaussian")
