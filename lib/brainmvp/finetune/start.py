"""What a fine-tuning starts from: a network with what can be used of another's weights."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model
from brainmvp.networks import NetworkConfig, build_classifier, build_network
from brainmvp.networks.heads import heads_of, set_first_logit
from brainmvp.tasks import Recipe, Task

# The convolutions that take the image, of all networks; MONAI's DynUNet lists its first one twice.
_STEMS = (
    "encoder.stages.0.embed.proj.weight", "projection.proj.weight",
    "encoder.downs.0.weight", "fine.detail.weight",
    "convInit.conv.weight",
    "input_block.conv1.conv.weight", "skip_layers.downsample.conv1.conv.weight",
)  # fmt: skip


@dataclass
class Start:
    """A network to train, and what became of every entry of the weights it started from, by our names.

    spacing (mm), window and overlap: of the images it takes; thresholds and temperatures: of the start, if it is of the
    same task.
    """

    network: nn.Module
    config: NetworkConfig
    spacing: float
    window: tuple[int, int, int]
    overlap: float
    thresholds: dict[str, float]
    temperatures: dict[str, float]
    matched: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    initialised: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say of each part what became of it, as "encoder kept, first convolution adapted, decoder kept, head new"."""
        became: dict[str, list[str]] = {"encoder": [], "first convolution": [], "decoder": [], "head": []}
        heads = _head_entries(self.network)
        for state, names in (("kept", self.matched), ("adapted", self.adapted), ("new", self.initialised)):
            for name in names:
                became[_part(name, heads)].append(state)
        return ", ".join(f"{part} {_summed(states)}" for part, states in became.items() if states)


def begin(task: Task, start: Model | None, recipe: Recipe, fresh: bool = False) -> Start:
    """Return the network that a fine-tuning begins with.

    From a segmentation model of the store everything is kept that fits: its first convolutions by the names of their
    sequences, its last one by the names of the regions. From an encoder (our pretraining, or a published checkpoint)
    the first convolution is shared out over the task's sequences, and a head is new. Without a start, everything is;
    `fresh` takes the start's network, spacing and window, and none of its weights. Where the recipe is not `as_start`,
    spacing and window are the recipe's.
    Raises `BrainMVPError` if there is no such network, the window is no multiple of its stride, or nothing of the
    start's encoder fits.
    """
    config = network_of(task, start, recipe)
    if not config.has_encoder and (task.kind == "classification" or recipe.frozen_encoder):
        raise BrainMVPError(
            f"{config.backbone} has no encoder to classify with or to freeze; use uniformer or unet."
        )
    build = build_network if task.kind == "segmentation" else build_classifier
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = build(config)
    if task.kind == "segmentation" and "head" in recipe.published:
        set_first_logit(network, 0.0)
    spacing, window, overlap = grid_of(task, start, recipe)
    if any(edge % config.stride for edge in window):
        edges = " x ".join(map(str, window))
        raise BrainMVPError(
            f"A window of {edges} voxels does not fit this {config.backbone}; choose one with edges that are multiples "
            f"of {config.stride}."
        )
    same = start.card if start is not None and not fresh and start.card.task == task.name else None
    thresholds, temperatures = (dict(same.thresholds), dict(same.temperatures)) if same else ({}, {})
    begun = Start(network, config, spacing, window, overlap, thresholds, temperatures)
    if start is not None and not fresh:
        _take_over(begun, task, start, "stem" not in recipe.published)
    return begun


def _part(name: str, heads: set[str]) -> str:
    """Return which part of a network an entry belongs to; heads: the entries of its heads."""
    if name in _STEMS:
        return "first convolution"
    if name in heads:
        return "head"
    return "encoder" if name.startswith("encoder.") else "decoder"


def _head_entries(network: nn.Module) -> set[str]:
    """Return the entries of the layers that give the logits."""
    heads = {id(head) for head in heads_of(network)}
    modules = network.named_modules(remove_duplicate=False)
    return {
        f"{name}.{entry}" for name, module in modules if id(module) in heads for entry in ("weight", "bias")
    }


def _summed(states: list[str]) -> str:
    new = states.count("new")
    if 0 < new < len(states):
        return f"kept but for {new} of {len(states)} entries"
    return "new" if new else "adapted" if "adapted" in states else "kept"


def grid_of(task: Task, start: Model | None, recipe: Recipe) -> tuple[float, tuple[int, int, int], float]:
    """Return the spacing (mm), the window (voxels) and the overlap of windows that a fine-tuning begins with."""
    known = start.card if start is not None and recipe.as_start else recipe
    return known.spacing, known.window if task.kind == "segmentation" else recipe.window, known.overlap


def network_of(task: Task, start: Model | None, recipe: Recipe) -> NetworkConfig:
    """Return the network that a fine-tuning begins with."""
    channels = {"in_channels": len(task.sequences), "out_channels": len(task.outputs)}
    if start is None:
        return NetworkConfig.preset(recipe.network, **channels)
    config = start.card.network
    if start.card.kind == "encoder":
        # Deep supervision is a part of the published recipe, not of the pretrained weights.
        channels["deep_supervision"] = config.backbone == "uniformer" and task.kind == "segmentation"
    return config.model_copy(update=channels)


def _take_over(begun: Start, task: Task, start: Model, keep_stem: bool) -> None:
    state, stored = begun.network.state_dict(), start.load_weights()
    heads = _head_entries(begun.network)
    for name, value in state.items():
        old = stored.get(name)
        new = None
        if old is None:
            pass
        elif name in _STEMS:
            new = _stem(old, task, start) if keep_stem and old.shape[2:] == value.shape[2:] else None
        elif name in heads:
            new = _head(old, value, task, start)
        elif old.shape == value.shape:
            new = old
        if new is None or new.shape != value.shape:
            begun.initialised.append(name)
            continue
        state[name] = new.to(value.dtype)
        (begun.matched if new is old else begun.adapted).append(name)
    begun.network.load_state_dict(state)
    encoder = [name for name in state if name.startswith("encoder.") and name not in _STEMS]
    missing = [name for name in encoder if name in begun.initialised]
    if missing:
        raise BrainMVPError(
            f"{start.card.id} has not the whole encoder ({missing[0]} is missing or of another shape); "
            "start from another model."
        )


def _stem(old: Tensor, task: Task, start: Model) -> Tensor:
    """Return a first convolution for the task's sequences, from one for the start's.

    A sequence that both know keeps its kernel, unless the start is an encoder, whose channel is for any sequence. Else
    the sum over the old channels is shared out equally, so that equal channels give what they gave before (the
    published code throws the kernel away).
    """
    known, count = start.card.sequences, len(task.sequences)
    shared = old.sum(1, keepdim=True) / count
    if start.card.kind == "encoder" or old.shape[1] != len(known):
        return shared.expand(-1, count, *old.shape[2:]).clone()
    if known == task.sequences:
        return old
    columns = [old[:, known.index(s) : known.index(s) + 1] if s in known else shared for s in task.sequences]
    return torch.cat(columns, 1)


def _head(old: Tensor, value: Tensor, task: Task, start: Model) -> Tensor | None:
    """Return a last convolution whose rows are those of the start's regions of the same names, else fresh ones."""
    if start.card.regions == task.outputs:
        return old
    if old.shape[1:] != value.shape[1:] or not set(start.card.regions) & set(task.outputs):
        return None
    rows = value.clone()
    for index, name in enumerate(task.outputs):
        if name in start.card.regions:
            rows[index] = old[start.card.regions.index(name)]
    return rows
