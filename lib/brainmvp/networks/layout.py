"""The published names and axis order of weights, and ours.

Published layouts (official code, `models/`): a segmenter (`encoder.*, decoder.*, ms_out.*`, 355 entries), a UniFormer
in pretraining (`encoder.uniformer.*, decoder.*, rep_template`, 352) and a UNet in pretraining (flat names, 113).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

TEMPLATES = "rep_template"

# (our name, published name) of a UniFormer; `{down}` counts 5, 4, 3, 2 where ours counts 0, 1, 2, 3.
_UNIFORMER = (
    (r"encoder\.stages\.(\d)\.embed\.", "encoder.{prefix}patch_embed{up}."),
    (r"encoder\.stages\.(\d)\.blocks\.", "encoder.{prefix}blocks{up}."),
    (r"encoder\.norm\.", "encoder.{prefix}norm."),
    (r"ups\.(\d)\.", "decoder.decoder{down}."),
    (r"projection\.", "decoder.proj1."),
    (r"head\.", "decoder.out.conv.conv."),
    (r"coarse_heads\.", "ms_out."),
    (r"decoder\.ups\.(\d)\.", "decoder.decoder{down}.transp_conv.conv."),
    (r"decoder\.head\.", "decoder.out_1.conv.conv."),
    (r"templates$", TEMPLATES),
)


def published_name(name: str, backbone: str, pretraining: bool) -> str:
    """Return the published name of one of our entries, of a segmenter or of the pretraining model.

    >>> published_name("encoder.stages.0.embed.proj.weight", "uniformer", pretraining=True)
    'encoder.uniformer.patch_embed1.proj.weight'
    >>> published_name("encoder.stages.3.2.conv1.weight", "unet", pretraining=True)
    'conv4c.conv1.weight'
    """
    if backbone == "unet":
        return _published_unet_name(name)
    for pattern, published in _UNIFORMER:
        match = re.match(pattern, name)
        if match:
            index = int(match.group(1)) if match.groups() else 0
            prefix = "uniformer." if pretraining else ""
            return published.format(prefix=prefix, up=index + 1, down=5 - index) + name[match.end() :]
    raise KeyError(f"no published name for '{name}'")


def _published_unet_name(name: str) -> str:
    if name == "templates":
        return TEMPLATES
    _, kind, *rest = name.split(".")
    if kind == "head":
        return ".".join(["up1conv", *rest])
    level, *rest = rest
    if kind == "downs":
        return ".".join(["conv1a" if level == "0" else f"ds{level}", *rest])
    if kind == "stages":
        block, *rest = rest
        # The first level's "a" is its convolution, so its blocks start at "b".
        letter = "abcdefgh"[int(block) + (level == "0")]
        return ".".join([f"conv{int(level) + 1}{letter}", *rest])
    step, *rest = rest
    return ".".join([f"up{4 - int(level)}conv{'a' if step == 'reduce' else 'b'}", *rest])


def from_published(
    names: Iterable[str], entries: Mapping[str, Tensor], backbone: str, pretraining: bool
) -> dict[str, Tensor]:
    """Return those of `names` (ours) that published `entries` have, under our names and in our axis order.

    The official UniFormer sees (Z, X, Y), so its kernels are (out, in, z, x, y); ours are (out, in, x, y, z). See
    `uniformer.py`.
    """
    found = {}
    for name in names:
        value = entries.get(published_name(name, backbone, pretraining))
        if value is not None:
            found[name] = value.permute(0, 1, 3, 4, 2) if _is_turned(name, value, backbone) else value
    return found


def to_published(state: Mapping[str, Tensor], backbone: str, pretraining: bool) -> dict[str, Tensor]:
    """Return our entries under the published names and in the published axis order: undoes `from_published`."""
    entries = {}
    for name, value in state.items():
        turned = value.permute(0, 1, 4, 2, 3) if _is_turned(name, value, backbone) else value
        entries[published_name(name, backbone, pretraining)] = turned.contiguous()
    return entries


def _is_turned(name: str, weight: Tensor, backbone: str) -> bool:
    # The decoder turns every feature back, except the image that its projection takes.
    return backbone == "uniformer" and weight.ndim == 5 and name.startswith(("encoder.", "projection."))
