"""Pictures of a run, as PNG files: what the templates show, what is reconstructed, how the numbers go."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from brainmvp.files import atomically
from brainmvp.sequences import Sequence

from ..data.stream import Batch
from ..model import Reconstruction

_NAMES = list(Sequence)
_MOST_ROWS = 6


def draw_templates(templates: Tensor, title: str) -> Figure:
    """Draw the middle axial slice of each template (8, X, Y, Z), scaled by its own range."""
    figure, axes = plt.subplots(2, 4, figsize=(9, 5), layout="constrained")
    figure.suptitle(title)
    for ax, name, template in zip(axes.flat, _NAMES, templates.detach().float().cpu(), strict=True):
        untouched = bool((template == 0).all())
        _show(ax, template[..., template.shape[2] // 2].numpy(), 0 if untouched else None)
        ax.set_title(f"{name}, not seen" if untouched else str(name), fontsize=9)
    return figure


def draw_reconstructions(examples: list[tuple[Batch, Reconstruction]], title: str) -> Figure:
    """Draw a row per sequence: true, view 1, what it gave, view 2, what it gave, at the slice with most to see."""
    rows = []
    for batch, result in examples:
        images = (result.target, result.first_view, result.first, result.second_view, result.second)
        for item, sequence in enumerate(batch.plan.sequence.tolist()):
            rows.append((_NAMES[sequence], [image[item, 0].float().cpu() for image in images]))
    rows = rows[:_MOST_ROWS]
    figure, axes = plt.subplots(
        len(rows), 5, figsize=(10, 2.1 * len(rows) + 0.5), squeeze=False, layout="constrained"
    )
    figure.suptitle(title)
    headings = ("true", "view 1 (template)", "reconstructed", "view 2 (other sequence)", "reconstructed")
    for ax, heading in zip(axes[0], headings, strict=True):
        ax.set_title(heading, fontsize=9)
    for line, (name, images) in zip(axes, rows, strict=True):
        depth = int(images[0].sum((0, 1)).argmax())
        line[0].set_ylabel(str(name))
        for ax, image in zip(line, images, strict=True):
            _show(ax, image[..., depth].numpy(), 1)
    return figure


def draw_curves(records: list[dict], title: str) -> Figure:
    """Draw the losses, learning rate, gradient norm, throughput, PSNR and SSIM of a log against the steps."""
    panels = {
        "loss": ("total", "first", "second", "contrast"), "learning rate": ("learning_rate",),
        "gradient norm": ("gradient_norm",), "studies per second": ("studies_per_second",),
        "PSNR of held-out studies, dB": ("psnr_1", "psnr_2"), "SSIM of held-out studies": ("ssim_1", "ssim_2"),
    }  # fmt: skip
    figure, axes = plt.subplots(2, 3, figsize=(12, 6), layout="constrained")
    figure.suptitle(title)
    for ax, (heading, names) in zip(axes.flat, panels.items(), strict=True):
        ax.set_title(heading, fontsize=10)
        ax.set_xlabel("optimiser step")
        for name in names:
            points = [(record["step"], record[name]) for record in records if name in record]
            if points:
                ax.plot(*zip(*points, strict=True), label=name, linewidth=1)
        if heading == "loss":
            ax.set_yscale("symlog", linthresh=1e-4)  # the contrast is zero until its phase
        elif heading == "gradient norm":
            ax.set_yscale("log")
        ax.set_visible(bool(ax.lines))
        if len(names) > 1 and ax.lines:
            ax.legend(fontsize=8)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, complete or not at all, and let go of it."""
    try:
        atomically(path, lambda temporary: figure.savefig(temporary, dpi=100))
    finally:
        plt.close(figure)


def _show(ax: plt.Axes, plane: np.ndarray, high: float | None) -> None:
    """Show a RAS plane (X, Y) as radiologists see it: right on the left, front up."""
    ax.imshow(
        np.flipud(np.fliplr(plane.T)),
        cmap="gray",
        vmin=0 if high else None,
        vmax=high,
        interpolation="nearest",
    )
    ax.set_xticks([])
    ax.set_yticks([])
